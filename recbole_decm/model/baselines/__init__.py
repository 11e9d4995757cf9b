"""Baselines that a comparison needs: content models fitted in one step, and other ways of debiasing our matcher.

The maths is in files of its own (``moments``, ``linear``, ``neighbours``, ``debiasing``, ``group_fm``); ``fitted`` and
``debiased`` are the RecBole models on top. ``docs/baselines.md`` has the equations and the departures from the papers.
"""
