"""Writes what has the rules of deploy/prometheus/rules.yml, too: a manifest, a file of the chart.

A test says when this is to be done.
"""

from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"
SOURCE = DEPLOY / "prometheus/rules.yml"
TARGET = DEPLOY / "kubernetes/monitoring/prometheusrule.yaml"
# Helm packs what is in its folder alone.
CHART = DEPLOY / "helm/nsq-trio/rules.yml"

HEAD = """\
# deploy/prometheus/rules.yml for the Prometheus operator, written by scripts/prometheus_rule.py.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nsq
  labels: {app.kubernetes.io/part-of: nsq}
spec:
"""


def prometheus_rule() -> str:
    """The manifest."""
    rules = SOURCE.read_text()
    lines = rules[rules.index("groups:") :].splitlines()
    return HEAD + "".join(f"  {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    TARGET.write_text(prometheus_rule())
    CHART.write_text(SOURCE.read_text())
