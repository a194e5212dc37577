"""Settings: from flags, the environment and a file to an instance of the options class."""

import pytest

from nsqcore.addresses import AddressError, parse_host_port
from nsqcore.app.config.load import load
from nsqcore.app.config.options import OptionsError, help_text, option, settings
from nsqcore.app.config.values import at_least, choice, numbers
from nsqcore.classes import frozen


def _even(value: int) -> None:
    if value % 2:
        raise ValueError("must be even")


@frozen(kw_only=True)
class Options:
    config: str = option("", "path to config file")
    size: int = option(10, "a size", check=at_least(0))
    pause: float = option(1.5, "a pause")
    deflate: bool = option(True, "compress")
    level: str = option("info", "verbosity", parse=choice("info", "debug"))
    peer_addresses: tuple[str, ...] = option((), "who else", flag="peer-address", many=True)
    percentiles: tuple[float, ...] = option((), "which", parse=numbers, many=True)
    id: int = option(lambda: 7, "who am I", flag="node-id", parse=int, check=_even, shown="a hash")
    old: bool = option(False, "use --new", deprecated=True)
    password: str = option("", "the password", secret=True)
    pin: int = option(0, "the pin", secret=True)

    def __attrs_post_init__(self) -> None:
        if self.size == 13:
            raise OptionsError("--size=13 brings bad luck")


def options(*arguments, env=None, file=None, tmp_path=None, notes=None):
    if file is not None:
        path = tmp_path / "prog.toml"
        path.write_text(file)
        arguments = (f"--config={path}", *arguments)
    return load(Options, "prog", arguments, env or {}, notes=notes)


def refusal(capsys, *arguments, **more):
    with pytest.raises(SystemExit) as stop:
        options(*arguments, **more)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("prog: ")
    assert err.count("\n") == 1
    return stop.value.code, err


def test_without_anything_the_defaults_are_in_force():
    found = options()
    assert (found.size, found.pause, found.deflate, found.peer_addresses) == (10, 1.5, True, ())
    assert found.id == 7


def test_flags_are_parsed_by_the_type_of_their_default():
    found = options("-size=0x10", "--pause", "1m30s", "--deflate=F", "--node-id=4")
    assert (found.size, found.pause, found.deflate, found.id) == (16, 90.0, False, 4)


def test_plain_flags_take_the_last_value_and_repeatable_ones_gather_all():
    found = options("--size=1", "--size=2", "--peer-address=a,b", "--peer-address=c")
    assert (found.size, found.peer_addresses) == (2, ("a,b", "c"))


def test_a_flag_may_hold_several_numbers():
    found = options("--percentiles=0.95", "--percentiles=0.99,0.5")
    assert found.percentiles == (0.95, 0.99, 0.5)


def test_flag_beats_environment_beats_file_beats_default(tmp_path):
    env = {"PROG_SIZE": "2", "PROG_PAUSE": "2s"}
    file = 'size = 3\npause = "3s"\ndeflate = false\n'
    found = options("--size=1", env=env, file=file, tmp_path=tmp_path)
    assert (found.size, found.pause, found.deflate, found.level) == (1, 2.0, False, "info")


def test_the_file_converts_what_is_written_to_what_is_needed(tmp_path):
    file = """
        size = "31"
        pause = 1500
        deflate = "false"
        level = "DEBUG"
        peer_addresses = "a:1, b:2"
        percentiles = [1, 0.5]
        id = 42
    """
    found = options(file=file, tmp_path=tmp_path)
    assert (found.size, found.pause, found.deflate, found.level) == (31, 1.5, False, "debug")
    assert (found.peer_addresses, found.percentiles, found.id) == (("a:1", "b:2"), (1, 0.5), 42)


def test_the_file_may_be_named_in_the_environment(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("size = 5")
    assert options(env={"PROG_CONFIG": str(path)}).size == 5


def test_a_key_that_is_like_none_is_noted_and_ignored(tmp_path):
    notes = []
    file = "of_another_version = 5\nsize = 6"
    assert options(file=file, tmp_path=tmp_path, notes=notes).size == 6
    assert len(notes) == 1
    assert "'of_another_version'" in notes[0]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sise", "size"),
        ("Size", "size"),
        ("peer_adresses", "peer_addresses"),
        ("peer-addresses", "peer_addresses"),
        ("peer-address", "peer_addresses"),
        ("node-id", "id"),
    ],
)
def test_a_misspelt_key_is_refused_with_what_is_probably_meant(capsys, tmp_path, key, meant):
    status, message = refusal(capsys, file=f"{key} = 5", tmp_path=tmp_path)
    assert status == 2
    assert f"unknown key {key!r} (did you mean {meant!r}?)" in message


def test_settings_in_a_table_are_refused(capsys, tmp_path):
    status, message = refusal(capsys, file="[prog]\nsize = 5", tmp_path=tmp_path)
    assert status == 2
    assert "[prog]" in message


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    assert options(file="\ufeffsize = 5", tmp_path=tmp_path).size == 5


@pytest.mark.parametrize("variable", ["PROG_CONFIG", "PROG_CONFIG_FILE"])
def test_what_a_config_file_holds_is_never_printed(capsys, tmp_path, variable):
    path = tmp_path / "c.toml"
    path.write_text('password = "hush"\nsize = 5')
    assert options(env={variable: str(path)}).size == 5
    path.write_text('password = "hush\nsize = 5')
    status, message = refusal(capsys, env={variable: str(path)})
    assert status == 1
    assert str(path) in message
    assert "hush" not in message


@pytest.mark.parametrize("env", [{"PROG_OLD": "true"}, {}])
def test_a_deprecated_setting_is_noted_wherever_it_stands(tmp_path, env):
    notes = []
    assert options(env=env, file="" if env else "old = true", tmp_path=tmp_path, notes=notes).old
    assert len(notes) == 1
    assert "is deprecated: use --new" in notes[0]


def test_a_deprecated_flag_is_noted():
    notes = []
    assert options("--old", notes=notes).old
    assert notes == ["flag -old is deprecated: use --new"]


def test_what_stands_behind_the_flags_is_noted_and_ignored(capsys):
    assert options("--size=1", "stray", "--size=2").size == 1
    assert "'stray'" in capsys.readouterr().err


def test_lists_in_the_environment_are_separated_by_commas():
    found = options(env={"PROG_PEER_ADDRESS": "a:1, b:2,", "PROG_PERCENTILES": "0.5,1"})
    assert (found.peer_addresses, found.percentiles) == (("a:1", "b:2"), (0.5, 1))


def test_a_variable_may_have_the_name_of_the_flag_or_of_the_key():
    assert options(env={"PROG_NODE_ID": "4"}).id == 4
    assert options(env={"PROG_ID": "4"}).id == 4


def test_a_variable_may_name_a_file_that_holds_the_value(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "peers").write_text("a:1\nb:2\n")
    env = {
        "PROG_PASSWORD_FILE": str(tmp_path / "secret"),
        "PROG_PEER_ADDRESS_FILE": str(tmp_path / "peers"),
    }
    found = options(env=env)
    assert (found.password, found.peer_addresses) == ("s3cret", ("a:1", "b:2"))


def test_an_empty_variable_does_not_hide_the_file_and_a_full_one_does(tmp_path):
    (tmp_path / "value").write_text("7\n")
    files = {f"PROG_{name}_FILE": str(tmp_path / "value") for name in ("PASSWORD", "SIZE")}
    found = options(env={**files, "PROG_PASSWORD": "", "PROG_SIZE": ""})
    assert (found.password, found.size) == ("7", 7)
    found = options(env={**files, "PROG_PASSWORD": "x", "PROG_SIZE": "8"})
    assert (found.password, found.size) == ("x", 8)


def test_an_empty_variable_sets_texts_only():
    found = options(env={"PROG_SIZE": "", "PROG_DEFLATE": "", "PROG_PEER_ADDRESS": ""})
    assert (found.size, found.deflate, found.peer_addresses) == (10, True, ())


@pytest.mark.parametrize(
    "argument",
    [
        "--size=abc",
        "--size=1.5",
        "--size=",
        "--pause=90",
        "--deflate=maybe",
        "--level=loud",
        "--percentiles=x",
        "--nothing",
        "---size=1",
        "--size",
    ],
)
def test_a_command_line_that_does_not_parse_ends_with_2_and_names_the_flag(capsys, argument):
    status, message = refusal(capsys, argument)
    assert status == 2
    assert argument.strip("-").partition("=")[0] in message


@pytest.mark.parametrize(
    ("argument", "words"), [("--size=-1", "0 or more"), ("--node-id=3", "even")]
)
def test_a_value_that_cannot_be_meant_ends_with_1_and_names_the_flag(capsys, argument, words):
    status, message = refusal(capsys, argument)
    assert status == 1
    assert argument.partition("=")[0] in message
    assert words in message


def test_settings_that_do_not_go_together_end_with_1(capsys):
    assert refusal(capsys, "--size=13") == (1, "prog: --size=13 brings bad luck\n")


@pytest.mark.parametrize(
    "content", ["size = x = y", 'size = "many"', 'pause = "soon"', "size = true", "level = [1]"]
)
def test_a_file_that_cannot_be_used_ends_with_1_and_is_named(capsys, tmp_path, content):
    status, message = refusal(capsys, file=content, tmp_path=tmp_path)
    assert status == 1
    assert "prog.toml" in message


def test_a_file_that_is_not_there_ends_with_1(capsys, tmp_path):
    status, message = refusal(capsys, f"--config={tmp_path}/nowhere")
    assert status == 1
    assert "nowhere" in message


@pytest.mark.parametrize("name", ["PROG_SIZE", "PROG_SIZE_FILE"])
def test_a_bad_variable_ends_with_1_and_is_named(capsys, name):
    status, message = refusal(capsys, env={name: "many"})
    assert status == 1
    assert name in message


def test_a_secret_is_in_no_message_and_no_repr(capsys):
    assert "hush" not in refusal(capsys, "--pin=hush")[1]
    assert "hush" not in repr(options("--password=hush"))


def test_help_lists_every_flag_on_stdout_and_ends_with_0(capsys):
    for argument in ("-h", "--help"):
        with pytest.raises(SystemExit) as stop:
            options("--size=1", argument, "--bogus")
        assert stop.value.code == 0
        out = capsys.readouterr().out
        assert out == help_text(Options, "prog")
        assert "CONFIG_FILE" not in out  # it would be taken for a file that holds the path
        assert out.endswith("A flag wins over the environment,\nwhich wins over the config file.\n")
        assert all(f"--{setting.flag}" in out for setting in settings(Options, "prog"))


def test_version_is_one_line_on_stdout_and_ends_with_0(capsys):
    with pytest.raises(SystemExit) as stop:
        options("-version")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("prog v1.3.0 (built w/python3.")


def test_version_is_a_switch_like_the_others(capsys):
    assert options("--version=false", "--size=7").size == 7
    with pytest.raises(SystemExit) as stop:
        options("--version=perhaps")
    assert stop.value.code == 2
    assert "invalid value 'perhaps' for flag -version" in capsys.readouterr().err


def test_a_program_may_have_no_version_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        load(Options, "prog", ["--version"], {}, version=None)
    assert stop.value.code == 2


def test_the_reference_tells_everything_about_a_setting():
    table = {setting.name: setting for setting in settings(Options, "prog")}
    peers = table["peer_addresses"]
    assert (peers.flag, peers.key) == ("peer-address", "peer_addresses")
    assert peers.variables == ("PROG_PEER_ADDRESS", "PROG_PEER_ADDRESSES")
    assert (table["pause"].type, table["pause"].default) == ("duration", "1.5s")
    assert (table["level"].type, table["id"].default) == ("info|debug", "a hash")


def test_no_password_of_a_url_is_told_when_settings_are_refused():
    assert str(OptionsError("--x http://user:geheim@h/ is wrong")) == "--x http://***@h/ is wrong"
    with pytest.raises(AddressError, match=r"\*\*\*@h"):
        parse_host_port("user:geheim@h")
