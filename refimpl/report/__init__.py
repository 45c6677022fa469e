"""Floor 4: what the claims found, as a terminal table, Markdown, JSON, and one self-contained HTML page.

===============  =====================================================
``words``        numbers and verdicts as a reader sees them
``table``        the terminal table, the errata and the summary line
``document``     the JSON document and its schema, coverage, errata
``markdown``     the same as Markdown
``show``         one item: statement, hypotheses, source, evidence
``page``         the HTML page; ``formulas``, ``mathml``, ``plots``, ``style``
``cli``          the verbs ``show``, ``errata``, ``report``
===============  =====================================================

Everything here works on records, the plain data of `refimpl.claims.runner.record`.
"""
