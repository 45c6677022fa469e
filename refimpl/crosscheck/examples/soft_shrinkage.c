/* Soft shrinkage as a candidate for `refimpl crosscheck`, in plain C without libraries.
 *
 *   cc -O2 -o soft soft_shrinkage.c
 *   refimpl crosscheck sparsity.prox_l1 --command './soft {in} {out}'
 *
 * An .npz file written by refimpl is a zip archive without compression; each entry is a .npy file: a header that
 * names dtype and shape, then the numbers, little-endian. The answer is such an archive again.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t get(const unsigned char *p, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint32_t)p[i] << (8 * i);
    return value;
}

static void put(FILE *out, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) fputc((int)(value >> (8 * i) & 255), out);
}

static uint32_t crc32(const unsigned char *p, size_t n) {
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* The .npy file of an input; its length in *size. */
static unsigned char *find(unsigned char *zip, size_t length, const char *name, size_t *size) {
    for (size_t at = 0; at + 30 <= length && get(zip + at, 4) == 0x04034B50;) {
        size_t bytes = get(zip + at + 18, 4), word = get(zip + at + 26, 2), extra = get(zip + at + 28, 2);
        unsigned char *data = zip + at + 30 + word + extra;
        if (strlen(name) + 4 == word && !memcmp(zip + at + 30, name, word - 4)) {
            *size = bytes;
            return data;
        }
        at += 30 + word + extra + bytes;
    }
    fprintf(stderr, "no input %s\n", name);
    exit(1);
}

static size_t header(const unsigned char *npy) { return 10 + get(npy + 8, 2); }

static double number(unsigned char *zip, size_t length, const char *name) {
    size_t size;
    unsigned char *npy = find(zip, length, name, &size);
    double value;
    memcpy(&value, npy + header(npy), sizeof value);
    return value;
}

/* One archive with one entry. */
static void archive(const char *path, const char *name, const unsigned char *npy, size_t size) {
    FILE *out = fopen(path, "wb");
    uint32_t crc = crc32(npy, size), word = (uint32_t)strlen(name), start = 30 + word + (uint32_t)size;
    if (!out) exit(1);
    for (int central = 0; central < 2; central++) {
        put(out, central ? 0x02014B50 : 0x04034B50, 4);
        if (central) put(out, 20, 2);
        put(out, 20, 2), put(out, 0, 4), put(out, 0x00210000, 4);        /* version, stored, 1 January 1980 */
        put(out, crc, 4), put(out, (uint32_t)size, 4), put(out, (uint32_t)size, 4), put(out, word, 2), put(out, 0, 2);
        if (central) put(out, 0, 2), put(out, 0, 2), put(out, 0, 2), put(out, 0, 4), put(out, 0, 4);
        fwrite(name, 1, word, out);
        if (!central) fwrite(npy, 1, size, out);
    }
    put(out, 0x06054B50, 4), put(out, 0, 4), put(out, 1, 2), put(out, 1, 2), put(out, 46 + word, 4);
    put(out, start, 4), put(out, 0, 2);
    if (fclose(out)) exit(1);
}

/* sign(v) max(|v| - t, 0); a NaN stays one because both comparisons are false. */
#define SHRINK(type)                                                        \
    for (size_t i = 0; i < n / sizeof(type); i++) {                         \
        type x, t = (type)threshold;                                        \
        memcpy(&x, data + i * sizeof x, sizeof x);                          \
        x = x > t ? x - t : x < -t ? x + t : x >= -t && x <= t ? 0 : x;     \
        memcpy(data + i * sizeof x, &x, sizeof x);                          \
    }

int main(int count, char **words) {
    static unsigned char zip[1 << 20];
    FILE *in = count == 3 ? fopen(words[1], "rb") : NULL;
    if (!in) return fprintf(stderr, "usage: soft in.npz out.npz\n"), 2;
    size_t length = fread(zip, 1, sizeof zip, in), size;
    unsigned char *npy = find(zip, length, "v", &size), *data = npy + header(npy);
    double threshold = number(zip, length, "tau") * number(zip, length, "lam");
    size_t n = size - header(npy);
    if (memmem(npy, header(npy), "'<f8'", 5)) {
        SHRINK(double)
    } else if (memmem(npy, header(npy), "'<f4'", 5)) {
        SHRINK(float)
    } else
        return fprintf(stderr, "neither float32 nor float64\n"), 77;     /* 77: not offered */
    archive(words[2], "theta.npy", npy, size);
    return 0;
}
