"""The words for why a record is in quarantine, or a file cannot be read at all: one code, one meaning, one way out.

Every code is stable: it is stored beside the record, counted in reports and filtered on in SQL. Only the codes in
`WHOLE_FILE` refuse a file; all the others refuse one record and let its neighbours live.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why something was refused."""

    STRAY_QUOTE = "STRAY_QUOTE"
    TEXT_AFTER_QUOTE = "TEXT_AFTER_QUOTE"
    UNTERMINATED_QUOTE = "UNTERMINATED_QUOTE"
    RECORD_TOO_LONG = "RECORD_TOO_LONG"
    FIELD_COUNT = "FIELD_COUNT"
    UNDECODABLE_TEXT = "UNDECODABLE_TEXT"
    NOT_JSON = "NOT_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    COLUMN_ABSENT = "COLUMN_ABSENT"
    COLUMN_UNDECLARED = "COLUMN_UNDECLARED"
    COLUMN_RESERVED = "COLUMN_RESERVED"
    COLUMN_REPEATED = "COLUMN_REPEATED"
    TYPE = "TYPE"
    REQUIRED = "REQUIRED"
    LENGTH = "LENGTH"
    PATTERN = "PATTERN"
    RANGE = "RANGE"
    MULTIPLE_OF = "MULTIPLE_OF"
    VALUE = "VALUE"
    RULE = "RULE"
    DUPLICATE_KEY = "DUPLICATE_KEY"
    UNDECODABLE_COMPRESSION = "UNDECODABLE_COMPRESSION"
    NOT_PARQUET = "NOT_PARQUET"
    DECOMPRESSED_TOO_LARGE = "DECOMPRESSED_TOO_LARGE"
    PARSER_CRASHED = "PARSER_CRASHED"

    @property
    def meaning(self) -> str:
        """What the code says, in one line."""
        return _WORDS[self][0]

    @property
    def fix(self) -> str:
        """What to do about it, in one line."""
        return _WORDS[self][1]


WHOLE_FILE = frozenset(
    {Reason.UNDECODABLE_COMPRESSION, Reason.NOT_PARQUET, Reason.DECOMPRESSED_TOO_LARGE, Reason.PARSER_CRASHED}
)
"""The only reasons for which a file is refused whole."""

_WORDS: Mapping[Reason, tuple[str, str]] = MappingProxyType(
    {
        Reason.STRAY_QUOTE: (
            "a quote stands inside a field that does not begin with one",
            "Quote the whole field and double the quotes in it, or declare the file's real quote character.",
        ),
        Reason.TEXT_AFTER_QUOTE: (
            "text follows the quote that closes a field",
            "Double the quotes inside a quoted field, or declare the escape character the file uses.",
        ),
        Reason.UNTERMINATED_QUOTE: (
            "a quoted field is not closed within max_record_bytes or by the end of the file",
            "Close the quote; if fields are truly that long, raise max_record_bytes in the contract.",
        ),
        Reason.RECORD_TOO_LONG: (
            "the record is longer than max_record_bytes",
            "Look for lost line ends; if records are truly that long, raise max_record_bytes in the contract.",
        ),
        Reason.FIELD_COUNT: (
            "the record has more or fewer fields than the file has columns",
            "Quote fields that contain the delimiter, and write every field of every record, even an empty one.",
        ),
        Reason.UNDECODABLE_TEXT: (
            "bytes are no text in the declared encoding",
            "Declare the encoding the file is really in, or write the file anew in the declared one.",
        ),
        Reason.NOT_JSON: ("the line is not JSON", "Write one whole JSON object a line (RFC 8259)."),
        Reason.NOT_AN_OBJECT: (
            "the line is JSON but not an object",
            "Write one JSON object a line, with the columns as its names.",
        ),
        Reason.COLUMN_ABSENT: (
            "the file lacks a column that the contract does not allow to be absent",
            "Add the column, declare the name it has as an alias, or allow it to be absent.",
        ),
        Reason.COLUMN_UNDECLARED: (
            "the file has a column that the contract does not declare",
            "Declare the column or its alias, or set undeclared columns to keep.",
        ),
        Reason.COLUMN_RESERVED: (
            "the file has a column whose name begins with the reserved prefix _hg_",
            "Rename the column in the file; names that begin with _hg_ belong to lineage.",
        ),
        Reason.COLUMN_REPEATED: (
            "one column stands twice in the file, perhaps under an alias",
            "Keep one of the two columns, or rename one.",
        ),
        Reason.TYPE: (
            "the value is not of the column's type",
            "Correct the value, or declare the type or the date format the file uses.",
        ),
        Reason.REQUIRED: ("a required value is missing", "Supply the value, or make the column optional."),
        Reason.LENGTH: (
            "the text is shorter or longer than the contract allows",
            "Correct the value, or the bounds of its length in the contract.",
        ),
        Reason.PATTERN: (
            "the text does not match the column's pattern",
            "Correct the value, or the pattern in the contract.",
        ),
        Reason.RANGE: ("the value is out of the column's range", "Correct the value, or the bounds in the contract."),
        Reason.MULTIPLE_OF: (
            "the value is no multiple of the number in the contract",
            "Correct the value, or the multiple in the contract.",
        ),
        Reason.VALUE: (
            "the value is not one of the allowed ones",
            "Correct the value, or add it to the allowed values in the contract.",
        ),
        Reason.RULE: ("the record breaks a rule of the contract", "Correct the record, or the rule in the contract."),
        Reason.DUPLICATE_KEY: (
            "an earlier record of the selection has the same key",
            "Remove one of the two records, or correct the key in the contract.",
        ),
        Reason.UNDECODABLE_COMPRESSION: (
            "the file's compression is broken",
            "Compress the file anew from its source and drop it again.",
        ),
        Reason.NOT_PARQUET: (
            "the file cannot be read as Parquet",
            "Write the file anew and drop it again, or declare the format it is really in.",
        ),
        Reason.DECOMPRESSED_TOO_LARGE: (
            "the file becomes larger than the contract allows when it is decompressed",
            "If it is truly that large, raise maxBytes or maxRatio of `decompression` in the contract; or split it.",
        ),
        Reason.PARSER_CRASHED: (
            "the process that read the file died of it, twice",
            "Report the file; have it tried again by `hashgate ingest --force`, or by another version of hashgate.",
        ),
    }
)
