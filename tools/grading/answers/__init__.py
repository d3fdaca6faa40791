"""Answers that students might give: right ones, plausible wrong ones, and cheats.

One module for each assignment, named ``a01`` and so on: `RIGHT`, `WRONG` and `CHEATS` map a task to
named sources. They are what the checks are tested with, and what the demonstration's class sends.
"""
