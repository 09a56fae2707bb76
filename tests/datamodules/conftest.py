"""Checking clips without the start of processes, which costs more than the clips do."""

import pytest

from datamodules.checking import check


@pytest.fixture
def in_this_process(monkeypatch):
    """Examine in this process; returns the list of what is examined."""
    examined = []

    def results(function, items, processes):
        for item in items:
            examined.append(item[1])
            yield item, function(item)

    monkeypatch.setattr(check, "results_of_processes", results)
    return examined
