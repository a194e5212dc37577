from nsqadmin.auth.form_tokens import FormTokens


def test_a_form_token_fits_one_browser_of_one_process():
    tokens = FormTokens()
    token = tokens.token("seed")
    assert tokens.fits("seed", token)
    assert not tokens.fits("other", token)
    assert not tokens.fits("", tokens.token(""))
    assert not FormTokens().fits("seed", token)


def test_a_form_token_of_any_letters_does_not_fit():
    assert not FormTokens().fits("seed", "é")
    assert not FormTokens().fits("seed", "\ud800")
    assert not FormTokens().fits("seed", "")
