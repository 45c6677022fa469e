"use strict";
(() => {
  const section = document.getElementById("section");
  const status = document.getElementById("status");
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");
  const items = [...document.querySelectorAll("article, #items tr[data-section]")];
  const texts = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));

  function matches(item) {
    const inSection = !section.value || (item.dataset.section + ".").startsWith(section.value + ".");
    const inStatus = !status.value || item.dataset.status === status.value;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return inSection && inStatus && words.every((word) => texts.get(item).includes(word));
  }

  function apply() {
    for (const item of items) item.hidden = !matches(item);
    for (const part of document.querySelectorAll("section.chapter"))
      part.hidden = !part.querySelector("article:not([hidden])");
    const articles = items.filter((item) => item.tagName === "ARTICLE");
    const count = articles.filter((item) => !item.hidden).length;
    shown.textContent = `${count} of ${articles.length} items`;
  }

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.closest("[hidden]")) {
      document.querySelector("form").reset();
      apply();
    }
    if (target) target.scrollIntoView();
  }

  for (const control of [section, status, search]) control.addEventListener("input", apply);
  document.querySelector("form").addEventListener("reset", () => setTimeout(apply));
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reveal);
  apply();
  if (location.hash) reveal();
})();
