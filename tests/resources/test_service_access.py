"""Who may ask a service: this machine, or those with a token, and nobody else."""

from __future__ import annotations

import base64
import pickle

import pytest

from contracts.errors import ConfigurationError
from resources.service_access import ServiceAccess

ONE, TWO = "a" * 16, "b" * 40
NOBODYS = "c" * 16


def access(address: str = "127.0.0.1:3070", **environment: str) -> ServiceAccess:
    return ServiceAccess.of(address, environment)


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("localhost:0", "127.0.0.1", 0), ("[::1]:65535", "::1", 65535)],
)
def test_this_machine_needs_no_token(address: str, host: str, port: int) -> None:
    found = access(address)
    assert (found.host, found.port, found.is_loopback, found.authorizes(None)) == (host, port, True, True)


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "10.0.0.7:80", "[2001:db8::1]:80"])
def test_other_machines_are_answered_only_with_a_token_configured(address: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"open to other machines.*Listen on 127\.0\.0\.1, or set HASHGATE_TOKENS"
    ):
        access(address)
    assert access(address, HASHGATE_TOKENS=ONE).is_loopback is False


@pytest.mark.parametrize(
    "address", ["", "3070", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "host:80", "a b:1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is no address to listen on") as raised:
        access(address)
    assert raised.value.evidence["address"] == address


@pytest.mark.parametrize(
    "tokens", ["short", f"{ONE} {TWO} {NOBODYS}", f"{ONE},short"], ids=["short", "three", "one short"]
)
def test_tokens_that_are_weak_or_too_many_are_refused_and_not_repeated(tokens: str) -> None:
    with pytest.raises(ConfigurationError, match="one token or two") as raised:
        access(HASHGATE_TOKENS=tokens)
    assert not any(token in str(raised.value) for token in (ONE, TWO, NOBODYS, "short"))
    assert raised.value.evidence == {"setting": "HASHGATE_TOKENS"}


@pytest.mark.parametrize("token", [ONE, TWO])
@pytest.mark.parametrize("form", ["bearer", "basic"])
def test_either_of_two_tokens_will_do(token: str, form: str) -> None:
    header = f"Bearer {token}" if form == "bearer" else basic(token)
    assert access(HASHGATE_TOKENS=f"{ONE}, {TWO}").authorizes(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {NOBODYS}",
        f"Bearer {ONE}x",
        f"Bearer {ONE[:-1]}",
        f"Token {ONE}",
        ONE,
        basic(NOBODYS),
        basic("", ONE),
        "Basic !!!",
        "Basic /w==",
        f"Basic {ONE}",
        "Bearer \u00e4",
    ],
    ids=repr,
)
def test_anything_else_will_not(header: str | None) -> None:
    assert not access(HASHGATE_TOKENS=f"{ONE} {TWO}").authorizes(header)


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("127.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("fe80::1%eth0", False),
    ],
)
def test_with_an_allow_list_others_are_not_admitted(peer: str, *, admitted: bool) -> None:
    assert access(HASHGATE_ALLOW="10.1.0.0/16, 2001:db8::/32").admits(peer) is admitted
    assert access().admits(peer)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"HASHGATE_ALLOW: .*10\.1\.0\.0/99"):
        access(HASHGATE_ALLOW="10.1.0.0/99")


def test_tokens_are_in_no_representation_and_the_rest_survives_pickling() -> None:
    found = access(HASHGATE_TOKENS=ONE, HASHGATE_ALLOW="10.0.0.0/8")
    assert ONE not in repr(found)
    assert pickle.loads(pickle.dumps(found)) == found
