"""The one maker of TLS contexts of clients."""

import ssl

import pytest
import trustme

from nsqcore.tls import client_tls, system_tls


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def test_the_system_vouches_unless_somebody_else_is_named(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    assert len(client_tls(authorities=str(path)).get_ca_certs()) == 1
    assert client_tls().verify_mode is ssl.CERT_REQUIRED
    assert client_tls().check_hostname


def test_the_system_s_authorities_are_read_once():
    assert system_tls() is system_tls()


def test_whoever_does_not_verify_trusts_everybody():
    context = client_tls(verify=False)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_file_that_is_wrong_is_named(content, tmp_path):
    path = tmp_path / "wrong.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError, match=r"certificate authority .*wrong\.pem"):
        client_tls(authorities=str(path))
    with pytest.raises(OSError, match=r"client certificate .*wrong\.pem and key\.pem"):
        client_tls(certificate=str(path), key="key.pem")


def test_a_client_shows_its_certificate(authority, tmp_path):
    path = tmp_path / "client.pem"
    authority.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(path)
    assert client_tls(certificate=str(path)).verify_mode is ssl.CERT_REQUIRED
