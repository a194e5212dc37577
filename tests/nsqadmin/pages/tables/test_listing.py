from nsqadmin.pages.tables.listing import Table

ROWS = [(f"topic-{number:03d}", number % 7) for number in range(120)]
COLUMNS = {"name": lambda row: row[0], "depth": lambda row: row[1]}
TABLE = Table(columns=COLUMNS, text=lambda row: row[0])


def show(**arguments):
    return TABLE.listing(ROWS, arguments)


def test_a_page_shows_fifty_rows_in_the_default_order():
    found = show()
    assert (len(found.rows), found.first, found.last, found.total, found.pages) == (
        50,
        1,
        50,
        120,
        3,
    )
    assert found.rows[0] == ("topic-000", 0)


def test_the_last_page_shows_what_is_left():
    assert [row[0] for row in show(page="3").rows][-1] == "topic-119"
    assert len(show(page="3").rows) == 20


def test_a_minus_turns_the_order_round():
    assert {row[1] for row in show(sort="-depth").rows[:10]} == {6}


def test_search_wants_all_words_in_any_order_and_case():
    assert show(q="07 TOPIC").rows[0][0] == "topic-007"
    assert show(q="nothing").total == 0


def test_nonsense_in_a_url_is_as_if_it_were_not_there():
    for strange in ("0", "-1", "999999", "x", "\u0661", "9" * 30):
        assert show(page=strange).rows
    assert show(sort="password").sort == "name"
    assert show(per="100000").size == 50


def test_a_click_on_a_number_shows_the_largest_first_and_then_the_smallest():
    assert show().sort_by("depth") == "-depth"
    assert show(sort="-depth").sort_by("depth") == "depth"
    assert show().sort_by("name") == "-name"


def test_two_tables_of_a_page_do_not_mix_their_parameters():
    table = Table(columns=COLUMNS, text=str, prefix="c.")
    found = table.listing(ROWS, {"sort": "-depth", "c.page": "2"})
    assert (found.sort, found.page, found.parameter("q")) == ("name", 2, "c.q")


def test_parameters_that_mean_the_same_are_the_same():
    for same in ({}, {"x": "1"}, {"page": "1"}, {"page": "-7"}, {"sort": "name"}, {"sort": "no"},
                 {"per": "50"}, {"per": "51"}, {"q": "  "}, {"c.page": "2"}):  # fmt: skip
        assert TABLE.arguments(same) == {}
    assert TABLE.arguments({"q": " a   b ", "page": "02"}) == {"q": "a b", "page": "2"}
