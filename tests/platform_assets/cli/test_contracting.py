"""`contract lint` and `contract infer`."""

from __future__ import annotations

from pathlib import Path

from tests.installation import CONTRACT, Installation


def test_lint_says_that_a_contract_is_fine(installation: Installation) -> None:
    ran = installation.hashgate("contract", "lint")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == "1 contract, 0 problems"


def test_lint_says_everything_at_once_with_lines_and_remedies(installation: Installation) -> None:
    text = CONTRACT.replace("minimum: 0", "minimun: 0").replace("required: true", "requird: true")
    path = installation.write_contract(text)
    ran = installation.hashgate("contract", "lint", str(path), "--json")
    assert ran.code == 2
    problems = ran.json["problems"]
    assert len(problems) == 2
    lines = {n for n, line in enumerate(text.splitlines(), start=1) if "minimun" in line or "requird" in line}
    assert {p["line"] for p in problems} == lines
    assert all(p["fix"] for p in problems)
    assert "broken" in installation.hashgate("contract", "lint").out


def test_lint_finds_a_table_that_is_declared_twice(installation: Installation) -> None:
    (installation.contracts / "again.odcs.yaml").write_text(CONTRACT)
    ran = installation.hashgate("contract", "lint")
    assert ran.code == 2
    assert "table orders is declared in" in ran.out


def test_lint_of_nothing(installation: Installation, tmp_path: Path) -> None:
    missing = installation.hashgate("contract", "lint", str(tmp_path / "no.odcs.yaml"))
    assert missing.code == 2
    assert "does not exist. Name a contract file" in missing.err
    (tmp_path / "empty").mkdir()
    empty = installation.hashgate("contract", "lint", str(tmp_path / "empty"))
    assert empty.code == 2
    assert "there is no contract (*.odcs.yaml)" in empty.err


def test_infer_drafts_a_contract_that_lints_and_fits_its_samples(installation: Installation) -> None:
    samples = [str(installation.drop(day)) for day in ("2024-01-01", "2024-01-02")]
    output = installation.contracts / "orders.odcs.yaml"
    output.unlink()
    ran = installation.hashgate("contract", "infer", *samples, "--table", "orders", "--output", str(output))
    assert ran.code == 0, ran.err
    assert "preview, 2 rows, digest " in ran.err
    assert installation.hashgate("contract", "lint").code == 0
    installation.build()
    assert installation.hashgate("query", "SELECT count(*) FROM orders", "--json").json["rows"] == [[4]]


def test_infer_prints_yaml_alone_to_the_output(installation: Installation) -> None:
    sample = str(installation.drop("2024-01-01"))
    ran = installation.hashgate("contract", "infer", sample, "--table", "orders")
    assert ran.code == 0
    assert ran.out.lstrip().startswith("#")
    assert "preview" not in ran.out
    installation.write_contract(ran.out)
    assert installation.hashgate("contract", "lint").code == 0


def test_infer_says_how_the_samples_differ(installation: Installation) -> None:
    one = installation.drop("2024-01-01")
    other = installation.drop("2024-01-02", b"id,thing,amount\n1,a,2\n")
    ran = installation.hashgate("contract", "infer", str(one), str(other), "--table", "orders", "--json")
    assert ran.code == 0
    assert any("thing" in said for said in ran.json["schema_differences"])
    assert ran.json["preview"]["digest"].startswith("blake3:")
    assert ran.json["trial"]["records"] == 3


def test_infer_never_overwrites(installation: Installation) -> None:
    sample = installation.drop("2024-01-01")
    there = installation.contracts / "orders.odcs.yaml"
    before = there.read_bytes()
    ran = installation.hashgate("contract", "infer", str(sample), "--table", "orders", "--output", str(there))
    assert ran.code == 2
    assert "nothing is overwritten" in ran.err
    assert there.read_bytes() == before


def test_infer_of_a_file_that_is_not_there(installation: Installation) -> None:
    ran = installation.hashgate("contract", "infer", "no.csv", "--table", "orders")
    assert ran.code == 2
    assert ran.err == "error: no.csv: No such file or directory. Name files that this user can read.\n"
