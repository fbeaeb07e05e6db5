"""Counters of an app, as a scraper reads them."""

from prometheus_client.parser import text_string_to_metric_families


def counted(metrics: str, name: str, node: str, **labels: str) -> float:
    """The sum of a family's samples for one node."""
    wanted = {"node": node, **labels}
    return sum(
        sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name and wanted.items() <= sample.labels.items()
    )
