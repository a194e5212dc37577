"""The text format of metrics, as Prometheus's own parser reads it."""

from prometheus_client.parser import text_string_to_metric_families as parse

from nsqcore.metrics.prometheus import build_info, heading, labels, single


def test_single_sample_is_read_back():
    (family,) = parse(single("nsqd_start_time_seconds", "gauge", "When it began.", 1.5))
    assert (family.name, family.type) == ("nsqd_start_time_seconds", "gauge")
    assert family.documentation == "When it began."
    (sample,) = family.samples
    assert (sample.labels, sample.value) == ({}, 1.5)


def test_whatever_is_in_a_label_is_read_back():
    name = 'a"b\\c\nd,e}ü'
    text = heading("m", "gauge", "help") + f"m{labels(topic=name, channel='c')} 1\n"
    ((sample,),) = [family.samples for family in parse(text)]
    assert sample.labels == {"topic": name, "channel": "c"}


def test_build_info_is_all_labels():
    (family,) = parse(build_info("nsqd", version="1.3.0", speedups="pure"))
    assert family.name == "nsqd_build_info"
    assert family.samples[0].labels == {"version": "1.3.0", "speedups": "pure"}
