"""dagster-aws's S3 resource with the platform's limits: what a deployment configures in Dagster, the store obeys.

The command line makes the same client without it, because a question should not wait for Dagster to be imported.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of a resource's fields as they stand.

from typing import Any

import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import Field

from resources.dagster_resources import WorkspaceResource
from resources.s3_client import CONNECT_TIMEOUT_S, MAX_ATTEMPTS, READ_TIMEOUT_S, s3_client
from resources.store_setting import open_store
from resources.workspace import Workspace


class LimitedS3Resource(S3Resource):
    """`S3Resource` whose client has time limits, path-style addresses and a repr without credentials."""

    max_attempts: int = Field(default=MAX_ATTEMPTS, description="How often a request is sent at most.")
    connect_timeout_s: float = Field(default=CONNECT_TIMEOUT_S, description="How long to wait for a connection.")
    read_timeout_s: float = Field(default=READ_TIMEOUT_S, description="How long to wait for the next bytes.")
    aws_access_key_id: str | None = Field(default=None, repr=False, description="Default: AWS_ACCESS_KEY_ID.")
    aws_secret_access_key: str | None = Field(default=None, repr=False, description="Default: AWS_SECRET_ACCESS_KEY.")
    aws_session_token: str | None = Field(default=None, repr=False, description="Default: AWS_SESSION_TOKEN.")

    def get_client(self) -> Any:
        """The client, made by the same rules as everywhere else."""
        return s3_client(
            profile_name=self.profile_name,
            use_unsigned_session=self.use_unsigned_session,
            max_attempts=self.max_attempts,
            connect_timeout_s=self.connect_timeout_s,
            read_timeout_s=self.read_timeout_s,
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            aws_session_token=self.aws_session_token,
        )


class S3WorkspaceResource(WorkspaceResource):
    """An installation whose store is a bucket, asked through the resource `s3`."""

    s3: dg.ResourceDependency[S3Resource]

    def open(self) -> Workspace:
        """Open it; see `WorkspaceResource.open`."""
        workspace = super().open()
        workspace.settings.prepare()
        workspace.store = open_store(workspace.settings, client=self.s3.get_client())
        return workspace
