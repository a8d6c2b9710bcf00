"""Mutation testing: ``make mutate`` plants bugs and counts those that no test notices.

mutmut writes every mutant of the modules in ``[tool.mutmut]`` of pyproject.toml into ``mutants/``,
a copy of the project in which the environment variable ``MUTANT_UNDER_TEST`` selects one. The tests
named there run once without a mutant, to find out which functions each test calls; then each mutant
of a random sample runs against the tests that call its function.
"""
