"""The client for S3: where the server is and who asks come from the standard AWS_* variables, the limits from here.

Nothing waits for ever and nothing is tried without end. Addresses are path-style unless the AWS configuration says
otherwise, because most servers other than AWS know no other kind. Checksums of newer protocol versions stay off where
they are optional, because older servers refuse them: what is stored is verified by digest.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from contracts.errors import ConfigurationError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
MAX_ATTEMPTS = 4
"""How often a request is sent before it counts as failed."""

_CONNECTIONS = 32


def s3_client(
    *,
    profile_name: str | None = None,
    use_unsigned_session: bool = False,
    max_attempts: int = MAX_ATTEMPTS,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    **place: Any,
) -> Any:
    """Make a boto3 client for S3.

    Args:
        profile_name: A profile of the AWS configuration files, `AWS_PROFILE` without one.
        use_unsigned_session: Ask without credentials.
        max_attempts: How often a request is sent at most.
        connect_timeout_s: How long to wait for a connection.
        read_timeout_s: How long to wait for the next bytes of an answer.
        place: `region_name`, `endpoint_url`, `use_ssl`, `verify` and credentials, as boto3 names them; what is None or
            left out comes from the environment.

    Raises:
        ConfigurationError: The variables or files of AWS's configuration do not make sense.
    """
    try:
        core = botocore.session.Session(profile=profile_name)
        addressing = core.get_scoped_config().get("s3", {}).get("addressing_style", "path")
        config = Config(
            signature_version=UNSIGNED if use_unsigned_session else None,
            connect_timeout=connect_timeout_s,
            read_timeout=read_timeout_s,
            retries={"total_max_attempts": max_attempts, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            tcp_keepalive=True,
            s3={"addressing_style": addressing},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = boto3.session.Session(botocore_session=core).client("s3", config=config, **place)
    except (BotoCoreError, ValueError) as error:
        problem = type(error).__name__
    else:
        return _without_credentials_in_address(client)
    # raised here, so that the cause, whose text may quote a variable, does not hang on to it
    msg = f"the settings for S3 do not make sense ({problem}). Check the AWS_* variables and AWS's configuration files."
    raise ConfigurationError(msg, problem=problem)


def _without_credentials_in_address(client: Any) -> Any:
    """An address goes into messages and logs, so it must hold no secret."""
    if "@" in urlsplit(client.meta.endpoint_url).netloc:
        msg = (
            "the address of the S3 server holds a user name or password. Take it out of AWS_ENDPOINT_URL_S3 or "
            "AWS_ENDPOINT_URL and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
        raise ConfigurationError(msg)
    return client
