from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.cli.data import run as seglab_data
from seglab.core.errors import ConfigError
from seglab.curation.audit import audit, flag, summary
from seglab.curation.findings import read_findings, write_findings
from seglab.curation.registry import AuditInputs, all_kinds, choose_kinds
from seglab.data.manifest import Manifest
from tests.curation.conftest import Make, picture

FILES = choose_kinds(["error"], "--only")


def test_files_that_broke_after_the_import_are_named_and_the_rest_goes_on(
    make: Make, tmp_path: Path
) -> None:
    manifest = make({name: picture(place) for place, name in enumerate("abcdefg")})
    (tmp_path / "a.png").unlink()
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:900])
    (tmp_path / "c_mask.png").unlink()
    (tmp_path / "d_mask.png").write_bytes(b"<html>")
    (tmp_path / "e_mask.png").write_bytes((tmp_path / "f.png").read_bytes())
    (tmp_path / "g.png").write_bytes((tmp_path / "f.png").read_bytes())
    found = audit(AuditInputs(manifest))
    assert found.num_samples == 7
    by_kind = {
        kind: sorted(rows["sample_id"])
        for kind, rows in found.table.groupby("kind")
        if kind in FILES
    }
    assert by_kind == {
        "missing_image": ["a"],
        "corrupt_image": ["b"],
        "missing_mask": ["c"],
        "corrupt_mask": ["d", "e"],
    }
    copies = found.table[found.table["kind"] == "exact_duplicate"]
    assert copies[["sample_id", "other"]].to_numpy().tolist() == [["g", "f"]]
    changed = set(found.table.loc[found.table["kind"] == "changed_file", "sample_id"])
    assert changed == {"b", "d", "e", "g"}
    assert "a.png: No such file" in summary(found)


def test_flags_make_a_new_version_and_go_when_the_fault_is_gone(make: Make, tmp_path: Path) -> None:
    manifest = make({"a": picture(0), "b": picture(1), "c": picture(0)})
    table = manifest.table.assign(flags=[["mine"], ["exif_ambiguous"], []])
    manifest = manifest.with_table(table)
    manifest.write(tmp_path / "m")
    only = ["exact_duplicate", "corrupt_image"]
    flagged = flag(audit(AuditInputs(manifest), only))
    assert flagged.table["flags"].tolist() == [["mine"], ["exif_ambiguous"], ["exact_duplicate"]]
    assert flagged.provenance["versions"][0]["of"] == manifest.fingerprint
    flagged.write(tmp_path / "m")
    former = Manifest.read(tmp_path / "m" / f"manifest.{manifest.fingerprint}.parquet")
    assert former.table["flags"].tolist() == table["flags"].tolist()
    assert Manifest.read(tmp_path / "m").fingerprint == flagged.fingerprint
    # Another check alone leaves the flag; the same one without the fault takes it.
    assert flag(audit(AuditInputs(flagged), ["corrupt_image"])).fingerprint == flagged.fingerprint
    clean = flagged.with_table(flagged.table.iloc[:2])
    assert (
        flag(audit(AuditInputs(clean), only)).table["flags"].tolist() == table["flags"].tolist()[:2]
    )


def test_findings_keep_their_ids_and_come_back_as_written(make: Make, tmp_path: Path) -> None:
    manifest = make({"a": picture(0), "b": picture(0)})
    first, again = (audit(AuditInputs(manifest)).table for _ in range(2))
    assert first["id"].tolist() == again["id"].tolist() != []
    write_findings(first, tmp_path / "audit")
    assert read_findings(tmp_path / "audit").to_dict() == first.to_dict()


def test_every_kind_is_declared_with_words_and_once() -> None:
    kinds = all_kinds()
    assert all(kind.summary.endswith(".") and kind.name == name for name, kind in kinds.items())
    assert all((kind.limit is None) == (not kind.limit_meaning) for kind in kinds.values())
    with pytest.raises(ConfigError, match="did you mean 'corrupt_image'"):
        choose_kinds(["corupt_image"], "--only")


def test_command_writes_flags_and_fails_on_what_it_was_told(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "m"
    make({name: picture(name == "c") for name in "abc"}).write(place)
    assert seglab_data(["audit", str(place)]) == 0
    out = capsys.readouterr().out
    assert "warning: exact_duplicate, 1 sample" in out
    assert "exact_duplicate" in Manifest.read(place).table["flags"].tolist()[1]
    assert seglab_data(["audit", str(place), "--fail-on", "warning"]) == 1
    assert "failed on empty_mask, exact_duplicate" in capsys.readouterr().err
    assert seglab_data(["audit", str(place), "--skip", "warning"]) == 0
    with pytest.raises(ConfigError, match="has no limit"):
        seglab_data(["audit", str(place), "--limit", "exact_duplicate=1"])
    np.testing.assert_equal(len(list(place.glob("manifest.*.parquet"))), 1)


def test_what_is_in_quarantine_is_told_and_fails_nothing(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "m"
    manifest = make({name: picture(number) for number, name in enumerate("abc")})
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"<html>")
    quarantined = manifest.table.assign(keep=[False, True, True], flags=[["corrupt_image"], [], []])
    manifest.with_table(quarantined).write(place)
    command = ["audit", str(place), "--only", "corrupt_image", "--no-flags"]
    assert seglab_data(command) == 1
    assert "corrupt_image, 2 samples, 1 of them in quarantine (" in capsys.readouterr().out
    (tmp_path / "b.png").write_bytes((tmp_path / "c.png").read_bytes())
    assert seglab_data(command) == 0
    assert "corrupt_image, 1 sample, 1 of them in quarantine (" in capsys.readouterr().out
