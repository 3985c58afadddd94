"""The database's tables, as the present schema version has them.

How a database comes here from an earlier version, and back, stands in `database_migrations`: to change a table here is
to write a step there. Text sorts and compares by its bytes on every database.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_VERSION = 2
"""What this hashgate reads and writes."""

metadata = sa.MetaData()

ByteText = sa.String().with_variant(sa.String(collation="C"), "postgresql")

meta = sa.Table(
    "meta", metadata, sa.Column("key", ByteText, primary_key=True), sa.Column("value", ByteText, nullable=False)
)
files = sa.Table(
    "files",
    metadata,
    sa.Column("table_name", ByteText, primary_key=True),
    sa.Column("path", ByteText, primary_key=True),
    sa.Column("stamp", ByteText, nullable=False),
    sa.Column("partition_key", ByteText),
    sa.Column("problem", ByteText),
    sa.Column("first_seen", ByteText, nullable=False),
    sa.Column("last_changed", ByteText, nullable=False),
    sa.Column("missing_since", ByteText),
    sa.Column("captured_stamp", ByteText),
    sa.Index("files_to_capture", "table_name", "captured_stamp"),
)
captures = sa.Table(
    "captures",
    metadata,
    sa.Column("table_name", ByteText, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("path", ByteText, primary_key=True),
    sa.Column("partition_key", ByteText, nullable=False),
    sa.Column("digest", ByteText, primary_key=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("captured_at", ByteText, nullable=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False),
    sa.Index("captures_of_path", "table_name", "path", "sequence"),
    sa.Index("captures_of_partition", "table_name", "partition_key"),
)
verified = sa.Table(
    "verified",
    metadata,
    sa.Column("path", ByteText, primary_key=True),
    sa.Column("stamp", ByteText, nullable=False),
    sa.Column("digest", ByteText, nullable=False),
)

anchors = sa.Table(
    "anchors",
    metadata,
    sa.Column("table_name", ByteText, primary_key=True),
    sa.Column("partition_key", ByteText, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("digest", ByteText, nullable=False),
)
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", ByteText, primary_key=True),
    sa.Column("holder", ByteText, nullable=False),
    sa.Column("fencing_token", sa.BigInteger, nullable=False),
    sa.Column("secret_digest", ByteText, nullable=False),
    sa.Column("expires_ms", sa.BigInteger, nullable=False),
)
parser_attempts = sa.Table(
    "parser_attempts",
    metadata,
    sa.Column("source_digest", ByteText, primary_key=True),
    sa.Column("transform", ByteText, primary_key=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("alone", sa.Boolean, nullable=False),
    sa.Column("last_error", ByteText, nullable=False),
    sa.Column("last_at", ByteText, nullable=False),
)
parser_notes = sa.Table(
    "parser_notes",
    metadata,
    sa.Column("note", ByteText, primary_key=True),
    sa.Column("source_digest", ByteText, primary_key=True),
    sa.Column("transform", ByteText, nullable=False),
    sa.Column("run_id", ByteText, nullable=False),
    sa.Column("process", ByteText, nullable=False),
    sa.Column("alone", sa.Boolean, nullable=False),
    sa.Column("noted_at", ByteText, nullable=False),
)
run_equivalences = sa.Table(
    "run_equivalences",
    metadata,
    sa.Column("equivalence_key", ByteText, primary_key=True),
    sa.Column("run_id", ByteText, nullable=False),
    sa.Column("intent_digest", ByteText, nullable=False),
)
