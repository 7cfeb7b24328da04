"""Reads metrics from standard input with the parsers of prometheus_client, and prints what they found as JSON.

The argument is the format: prometheus or openmetrics.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

parse = parse_openmetrics if sys.argv[1] == "openmetrics" else parse_prometheus
families = [
    {
        "name": family.name,
        "type": family.type,
        "unit": family.unit,
        "help": family.documentation,
        "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
    }
    for family in parse(sys.stdin.read())
]
json.dump(families, sys.stdout)
