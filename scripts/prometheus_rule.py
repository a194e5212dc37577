"""Writes deploy/kubernetes/monitoring/prometheusrule.yaml, from deploy/prometheus/rules.yml.

A test says when this is to be done.
"""

from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"
SOURCE = DEPLOY / "prometheus/rules.yml"
TARGET = DEPLOY / "kubernetes/monitoring/prometheusrule.yaml"

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
