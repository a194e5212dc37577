import pytest

from nsqcore.names import (
    MAX_NAME_LENGTH,
    as_bytes,
    as_text,
    is_ephemeral,
    is_valid_name,
    quote,
)


@pytest.mark.parametrize(
    "name",
    [
        "t",
        "a.b-c_D9",
        "...",
        "-",
        "t#ephemeral",
        "x" * MAX_NAME_LENGTH,
        "x" * (MAX_NAME_LENGTH - 10) + "#ephemeral",
    ],
)
def test_letters_digits_dot_dash_underscore_make_a_name_as_text_and_as_bytes(name):
    assert is_valid_name(name)
    assert is_valid_name(name.encode())


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a\n",
        "\na",
        "a\x00",
        "a/b",
        "../etc",
        "a#b",
        "#ephemeral",
        "t#ephemeralx",
        "t#Ephemeral",
        "t#ephemeral#ephemeral",
        "t#ephemeral\n",
        "caf\u00e9",
        "t\u0661",  # a digit, though not an ASCII one
        "x" * (MAX_NAME_LENGTH + 1),
        "x" * (MAX_NAME_LENGTH - 9) + "#ephemeral",
        "\udcff",
    ],
)
def test_anything_else_is_no_name(name):
    assert not is_valid_name(name)
    assert not is_valid_name(as_bytes(name))


def test_names_that_end_in_the_marker_are_ephemeral():
    assert is_ephemeral("t#ephemeral")
    assert not is_ephemeral("t")
    assert not is_ephemeral("ephemeral")


@pytest.mark.parametrize(
    "raw", [b"", b"plain", "caf\u00e9".encode(), b"\xff\xfea\x80", b"\xed\xa0\x80"]
)
def test_any_bytes_survive_the_way_to_text_and_back(raw):
    assert as_bytes(as_text(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"", '""'),
        (b"bad$topic", '"bad$topic"'),
        (b'a"b', r'"a\"b"'),
        (b"a\\b", r'"a\\b"'),
        (b"a\tb", r'"a\tb"'),
        (b"a\rb", r'"a\rb"'),
        (b"\a\b\f\n\v", r'"\a\b\f\n\v"'),
        (b"a\x01b\x1f", r'"a\x01b\x1f"'),
        (b"a\x7fb", r'"a\x7fb"'),
        ("caf\u00e9".encode(), '"caf\u00e9"'),
        ("t\U0001f600".encode(), '"t\U0001f600"'),
        (b"a\xff\xfeb", r'"a\xff\xfeb"'),
        (b"\xed\xa0\x80", r'"\xed\xa0\x80"'),
        ("\u0085\u00a0\u2028\ufeff".encode(), r'"\u0085\u00a0\u2028\ufeff"'),
        ("\U000e0001".encode(), r'"\U000e0001"'),
    ],
)
def test_a_refused_name_is_shown_in_quotes_with_escapes(raw, shown):
    assert quote(as_text(raw)) == shown


@pytest.mark.parametrize("name", ["\ud800", "a\udcff", "é", "t\ud800#ephemeral"])
def test_a_name_that_no_encoding_can_write_is_none(name):
    """Asking whether it is one ended nsqd."""
    assert not is_valid_name(name)


def test_any_text_can_be_told_in_an_error():
    assert as_bytes("a\udcff\ud800".replace("\ud800", "")) == b"a\xff"
    assert as_bytes("a\ud800") == b"a?"
