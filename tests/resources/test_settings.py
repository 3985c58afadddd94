"""Settings: what each variable may say, and that no wrong value shows a secret."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from resources.dagster_resources import WorkspaceResource
from resources.settings import S3Location, Settings

CANARY = "planted-p%40ss"


def settings(**variables: str) -> Settings:
    return Settings.from_environment({f"HASHGATE_{name.upper()}": value for name, value in variables.items()})


def test_everything_has_a_default_below_the_home() -> None:
    found = settings(home="/h")
    assert (found.store, found.drops, found.staging) == (Path("/h/store"), Path("/h/drops"), Path("/h/staging"))
    assert str(found.database) == "sqlite:////h/catalogue.db"
    assert settings(home="/h", store="", database="") == found, "an empty value counts as unset"


@pytest.mark.parametrize(
    ("value", "place"),
    [
        pytest.param("/srv/store", Path("/srv/store"), id="a folder"),
        pytest.param("s3://bucket", S3Location("bucket"), id="a bucket"),
        pytest.param("s3://bucket/", S3Location("bucket"), id="a bucket with a slash"),
        pytest.param("s3://my-bucket.eu/a/b", S3Location("my-bucket.eu", "a/b"), id="a prefix"),
        pytest.param("s3://bucket/a b/ü/", S3Location("bucket", "a b/ü"), id="a prefix with other signs"),
    ],
)
def test_a_store_is_a_folder_or_a_bucket(value: str, place: object) -> None:
    assert settings(store=value).store == place
    assert settings(store=str(settings(store=value).store)).store == place


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("store", "it is neither an absolute folder nor a place in S3", id="a relative folder"),
        pytest.param("s3:/bucket", "it is neither an absolute folder nor a place in S3", id="one slash"),
        pytest.param("S3://bucket", "it is neither an absolute folder nor a place in S3", id="capitals"),
        pytest.param("gs://bucket", "it is neither an absolute folder nor a place in S3", id="another kind"),
        pytest.param("s3://", "it names no bucket", id="no bucket"),
        pytest.param("s3:///prefix", "it names no bucket", id="a prefix only"),
        pytest.param("s3://Bucket", "it names no bucket", id="a bucket's name with capitals"),
        pytest.param("s3://ab", "it names no bucket", id="a bucket's name too short"),
        pytest.param(f"s3://key:{CANARY}@bucket", "it names no bucket", id="a key"),
        pytest.param("s3://bucket/a//b", "its prefix has an empty name", id="an empty name"),
        pytest.param("s3://bucket/../b", "an empty name, `.`, `..`", id="up"),
        pytest.param("s3://bucket/a\nb", "control character", id="a line end"),
    ],
)
def test_any_other_store_is_refused_with_what_to_write(value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match="^HASHGATE_STORE: ") as refused:
        settings(store=value)
    assert problem in str(refused.value)
    assert str(refused.value).endswith(
        "Write s3://bucket/prefix or an absolute folder, or leave it unset for $HASHGATE_HOME/store."
    )
    assert refused.value.evidence == {"setting": "HASHGATE_STORE"}
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("sqlite:////srv/c.db", "sqlite:////srv/c.db", id="a file"),
        pytest.param(
            f"postgresql://me:{CANARY}@host/db", "postgresql+psycopg2://me:***@host/db", id="a server with a password"
        ),
        pytest.param(
            "postgresql+psycopg2://host:5433/db?sslmode=require",
            "postgresql+psycopg2://host:5433/db?sslmode=require",
            id="a server with options",
        ),
        pytest.param(
            "postgresql:///db?host=%2Frun%2Fpg", "postgresql+psycopg2:///db?host=%2Frun%2Fpg", id="a Unix socket"
        ),
    ],
)
def test_a_database_is_a_file_or_a_server(value: str, shown: str) -> None:
    found = settings(database=value)
    assert str(found.database) == shown
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    for text in (repr(found), str(found), f"{found}", repr(again)):
        assert "planted" not in text


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(f"host=h password={CANARY}", "it is no database URL", id="no URL"),
        pytest.param(f"postgresql://me:{CANARY}@host:5432x/db", "it is no database URL", id="a port that is none"),
        pytest.param(f"postgresql:/me:{CANARY}@host/db", "it is no database URL", id="one slash"),
        pytest.param(f"mysql://me:{CANARY}@host/db", "mysql is neither postgresql nor sqlite", id="another server"),
        pytest.param(f"postgres://me:{CANARY}@host/db", "postgres is neither", id="the short name"),
        pytest.param(f"postgresql+asyncpg://me:{CANARY}@host/db", "postgresql+asyncpg is neither", id="a driver"),
        pytest.param(f"postgresql://me:{CANARY}@host", "it names no database", id="no database"),
        pytest.param(f"postgresql://me@host/db?password={CANARY}", "Its place is before the `@`", id="behind the ?"),
        pytest.param("sqlite://", "a SQLite file is named by its absolute path", id="no file"),
        pytest.param("sqlite:///c.db", "a SQLite file is named by its absolute path", id="a relative file"),
        pytest.param("sqlite:////c.db?mode=ro", "absolute path and nothing else", id="a file with options"),
    ],
)
def test_any_other_database_is_refused_without_showing_it(value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match="^HASHGATE_DATABASE: ") as refused:
        settings(database=value)
    error = refused.value
    assert problem in str(error)
    assert str(error).endswith("or sqlite:////folder/file, or leave it unset.")
    assert error.evidence == {"setting": "HASHGATE_DATABASE"}
    assert (error.__cause__, error.__context__) == (None, None), "a cause would quote a part of it"
    assert "planted" not in f"{error!r}{error}{error.evidence}"


def test_folders_are_created_for_their_user_alone(tmp_path: Path) -> None:
    found = settings(home=str(tmp_path / "home"), store=str(tmp_path / "store"))
    found.prepare()
    for folder in (found.home, tmp_path / "store", found.staging, found.dagster_home):
        assert folder.stat().st_mode & 0o777 == 0o700
    settings(home=str(tmp_path / "other"), store="s3://bucket").prepare()
    assert {path.name for path in (tmp_path / "other").iterdir()} == {"staging", "dagster"}


@pytest.mark.parametrize(("variable", "setting"), [("home", "HASHGATE_HOME"), ("store", "HASHGATE_STORE")])
def test_a_folder_that_cannot_be_created_names_its_setting(variable: str, setting: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    named = {"home": str(tmp_path / "home")} | {variable: str(tmp_path / "file" / "below")}
    with pytest.raises(ConfigurationError, match=f"Not a directory. Set {setting} to a folder that can be") as refused:
        settings(**named).prepare()
    assert refused.value.evidence["setting"] == setting


def test_a_local_store_is_on_the_file_system_of_its_staging(tmp_path: Path) -> None:
    shared_memory = Path("/dev/shm")  # noqa: S108 - another file system on every Linux
    if shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.fail("the suite's temporary folder is in /dev/shm, so this machine has no second file system to try")
    store = Path(tempfile.mkdtemp(dir=shared_memory))
    try:
        with pytest.raises(ConfigurationError, match="is on another file system than .*/staging") as refused:
            settings(home=str(tmp_path), store=str(store)).prepare()
        assert refused.value.evidence == {"setting": "HASHGATE_STORE", "path": str(store)}
    finally:
        store.rmdir()


# ---- the same in Dagster ---------------------------------------------------------------------------------------------


def test_dagster_s_resource_follows_the_environment_and_its_fields(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHGATE_STORE", "s3://bucket/p")
    monkeypatch.setenv("HASHGATE_DATABASE", f"postgresql://me:{CANARY}@host/db")
    followed = WorkspaceResource().open().settings
    assert followed == Settings.from_environment()
    named = WorkspaceResource(home="/h", store="/s", database="/d/c.db").open().settings
    assert (named.home, named.store, str(named.database)) == (Path("/h"), Path("/s"), "sqlite:////d/c.db")
    assert followed.home == home


def test_dagster_s_resource_for_known_settings_is_the_same_installation(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Settings(home=home / "x", drops=home / "d", contracts=(home / "c", home / "e"))
    monkeypatch.setenv("HASHGATE_STORE", "s3://elsewhere")
    found = WorkspaceResource.at(known).open().settings
    assert (found.home, found.drops, found.contracts) == (known.home, known.drops, known.contracts)
    assert (found.store, found.database) == (known.store, known.database)


def test_a_server_s_url_is_never_configuration(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://me:{CANARY}@host/db"
    with pytest.raises(ConfigurationError, match="`database` is no absolute path") as refused:
        WorkspaceResource(database=url).open()
    assert "planted" not in str(refused.value)
    known = settings(home=str(home), database=url)
    with pytest.raises(ConfigurationError, match="is not that of HASHGATE_DATABASE") as refused:
        WorkspaceResource.at(known)
    assert "planted" not in f"{refused.value}{refused.value.evidence}"
    monkeypatch.setenv("HASHGATE_DATABASE", url)
    resource = WorkspaceResource.at(known)
    assert "planted" not in repr(resource.model_dump())
    assert resource.open().settings.database == known.database
    assert os.environ["HASHGATE_DATABASE"] == url
