"""Who may ask a service of the platform: from which addresses, and with which token.

A service answers its own machine only, unless a token is configured: then also others, each request with one of at
most two tokens (two, so that one can be replaced while it is in use). Encryption is for the proxy in front of it.
Tokens come from the environment, stand in no message, and are compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.errors import ConfigurationError

TOKENS_VARIABLE = "HASHGATE_TOKENS"
ALLOW_VARIABLE = "HASHGATE_ALLOW"
MOST_TOKENS = 2
SHORTEST_TOKEN = 16

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:]+)\]|(?P<host>[^:\[\]]+)):(?P<port>\d{1,5})")
_SEPARATOR = re.compile(r"[\s,]+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ServiceAccess:
    """Where a service listens, and whom it answers."""

    host: str
    """An address; never a name, which may stand for several."""
    port: int
    """0: any that is free."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    networks: tuple[Network, ...] = ()
    """Empty: every address that reaches it."""

    @classmethod
    def of(cls, address: str, environment: Mapping[str, str] | None = None) -> ServiceAccess:
        """Read `HOST:PORT`, and the environment's tokens and networks.

        Raises:
            ConfigurationError: One of them makes no sense, or others are to be answered without a token.
        """
        env = os.environ if environment is None else environment
        host, port = _parse_address(address)
        tokens = tuple(token for token in _SEPARATOR.split(env.get(TOKENS_VARIABLE) or "") if token)
        if len(tokens) > MOST_TOKENS or any(len(token) < SHORTEST_TOKEN for token in tokens):
            msg = (
                f"{TOKENS_VARIABLE}: write one token or two, each of {SHORTEST_TOKEN} characters or more, with a space "
                "between them; a good one comes from `openssl rand -hex 32`."
            )
            raise ConfigurationError(msg, setting=TOKENS_VARIABLE)
        if not tokens and not ipaddress.ip_address(host).is_loopback:
            msg = (
                f"{address} is open to other machines, and anybody there would see rows of data. Listen on 127.0.0.1, "
                f"or set {TOKENS_VARIABLE} and put a proxy with TLS in front."
            )
            raise ConfigurationError(msg, address=address, setting=TOKENS_VARIABLE)
        return cls(host, port, tokens, _parse_networks(env.get(ALLOW_VARIABLE) or ""))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    def admits(self, peer: str) -> bool:
        """Whether an address is on the allow-list, if there is one."""
        address = ipaddress.ip_address(peer.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return not self.networks or any(address in network for network in self.networks)

    def authorizes(self, header: str | None) -> bool:
        """Whether an `Authorization` header carries a token: as a bearer's, or as the password of basic access.

        Source: RFC 6750 2.1, RFC 7617 2.
        """
        if not self.tokens:
            return True
        given = _token_of(header or "").encode()
        # every token is compared, so that the time tells nothing about which one it was
        return sum(hmac.compare_digest(given, token.encode()) for token in self.tokens) > 0


def _token_of(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _parse_address(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    host = "" if found is None else found["six"] or found["host"]
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found = None
    if found is None or int(found["port"]) > 65_535:
        msg = f"{text} is no address to listen on. Write an IP address and a port, such as 127.0.0.1:3070."
        raise ConfigurationError(msg, address=text)
    return host, int(found["port"])


def _parse_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part) for part in _SEPARATOR.split(text) if part)
    except ValueError as error:
        msg = f"{ALLOW_VARIABLE}: {error}. Write addresses or networks, such as 10.1.0.0/16, with spaces between them."
        raise ConfigurationError(msg, setting=ALLOW_VARIABLE) from None
