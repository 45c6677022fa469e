"""Floor 1: images to check statements on and to train with: embedded digit glyphs, IDX and CIFAR-10 files.

Claims about images and the experiments both stand on it, so it lies below them.
"""

from refimpl.data.sets import DataSet, Part, Split, augment, load, present, split

__all__ = ["DataSet", "Part", "Split", "augment", "load", "present", "split"]
