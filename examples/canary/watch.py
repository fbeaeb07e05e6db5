"""Two weeks of customers: who got which arm, how right each arm was, and what its stage was asked.

    python examples/canary/watch.py

The second week is a new start with a larger canary: whoever had the new version keeps it.
"""

import json
from collections import Counter
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import pipectl

HERE = Path(__file__).resolve().parent


def elements(metrics: str, family: str) -> dict[tuple[str, ...], int]:
    """Counts of a family at the `route`, by their labels."""
    families = text_string_to_metric_families(metrics)
    samples = [s for f in families for s in f.samples if s.name == family]
    return {tuple(v for k, v in s.labels.items() if k in ("arm", "outcome")): int(s.value) for s in samples}


def week(wines: list[dict[str, object]], profile: str | None) -> dict[str, str]:
    """Asks for every wine and prints what was counted; the arm of each customer."""
    customers = [f"customer {i % 30}" for i in range(len(wines))]
    requests = [{"customer": customer, "x": wine["x"]} for customer, wine in zip(customers, wines)]
    with pipectl.load(HERE / "canary.pipe", profile=profile) as app:
        answers = list(app["taste"].map(requests, in_flight=32))
        app.drain()
        metrics = app.metrics()
    arms: dict[str, set[str]] = {}
    asked, right = Counter(), Counter()
    for customer, wine, answer in zip(customers, wines, answers):
        arms.setdefault(customer, set()).add(answer["arm"])
        asked[answer["arm"]] += 1
        right[answer["arm"]] += bool(answer["cultivar"] == wine["cultivar"])
    for arm in ("stable", "canary"):
        customers_of_it = sum(arm in seen for seen in arms.values())
        print(f"  {arm}: {customers_of_it} customers, {asked[arm]} wines, {right[arm] / max(asked[arm], 1):.2f} right")
    print("  counted:", elements(metrics, "pipe_arm_elements_total"))
    print("  shadow:", elements(metrics, "pipe_shadow_elements_total"))
    assert all(len(seen) == 1 for seen in arms.values()), "an arm did not stick to its customer"
    return {customer: seen.pop() for customer, seen in arms.items()}


def main() -> None:
    wines = json.loads((HERE / "data" / "wines.json").read_text(encoding="utf-8"))
    print("canary 20%")
    first = week(wines, None)
    print("canary 50%")
    second = week(wines, "half")
    kept = [customer for customer, arm in first.items() if arm == "canary" and second[customer] == "canary"]
    moved = [customer for customer, arm in first.items() if second[customer] != arm]
    print(f"{len(kept)} customers kept the canary, {len(moved)} were added to it")


if __name__ == "__main__":
    main()
