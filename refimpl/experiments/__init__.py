"""The chapter's figures and tables, made again: ``refimpl reproduce NAME``.

==============  ==================================================================
``training``    one training loop with records, checkpoints and exact resume
``sweep``       cells over seeds and parameters on any executor, never twice
``figures``     the common style; PNG, SVG and CSV with fixed bytes
``catalogue``   the experiments by name
==============  ==================================================================
"""
