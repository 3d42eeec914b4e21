"""Made-up pods on made-up clusters, judged by the evaluator of the scheduler's rules; the live tests have the real one."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import kube_scheduler
import placements
import pytest

BLOCK = 150


@pytest.mark.parametrize("block", range(20))
def test_a_rendered_pod_lands_exactly_where_its_images_run_and_its_user_lets_it(block: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        rng = random.Random(seed)
        nodes = [placements.as_registered(node) for node in placements.fleet(rng)]
        rendered = placements.render(placements.pod(rng), nodes, placements.options(rng))
        eligible = {node["metadata"]["name"] for node in nodes if kube_scheduler.schedules(rendered.scheduled(rendered.after), node)}

        assert not placements.wrongs(rendered, nodes, eligible), (seed, nodes, rendered)

        seen["refused" if rendered.errors else "placed" if eligible else "pending"] += 1
        seen["changed"] += rendered.after != rendered.before
        seen["tolerates"] += (rendered.after.get("tolerations") or []) != (rendered.before.get("tolerations") or [])
    assert min(seen[kind] for kind in ("refused", "placed", "pending", "changed", "tolerates")) > 5, seen


def test_the_judge_finds_fault_with_pods_that_were_not_rendered() -> None:
    """Otherwise the tests above could not fail."""
    faults: Counter[str] = Counter()
    for seed in range(BLOCK):
        rng = random.Random(seed)
        nodes = [placements.as_registered(node) for node in placements.fleet(rng)]
        rendered = placements.render(placements.pod(rng), nodes, placements.options(rng))
        without = dataclasses.replace(rendered, after=rendered.before, errors=[])
        eligible = {node["metadata"]["name"] for node in nodes if kube_scheduler.schedules(without.scheduled(without.before), node)}
        faults.update(wrong.split(" ", 1)[1].split(",")[-1] for wrong in placements.wrongs(without, nodes, eligible))
    assert faults[" which its images do not run on"] > 50, faults
    assert faults["was lost"] > 10, faults
