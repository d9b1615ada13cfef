import json


def test_of_a_neutral_and_a_smiling_picture_the_smile_has_more_happiness(mien, shared_data, tmp_path):
    """Forty people, photographed twice, through detection, crop, engine and store."""
    out = tmp_path / "london.json"
    done = mien("run", shared_data / "faces" / "london", "--no-serve", "--out", out)
    assert done.returncode == 0, done.stderr

    happiness = {
        source["source"].rsplit("-", 1)[0]: [person["expressions"]["happiness"][0] for person in source["people"]]
        for source in json.loads(out.read_text())["sources"]
    }
    people = {name.split("_")[0] for name in happiness if f"{name.split('_')[0]}_smiling" in happiness}
    right = [max(happiness[f"{p}_smiling"], default=-1) > max(happiness[f"{p}_neutral"], default=2) for p in people]

    assert len(right) == 40
    assert sum(right) / len(right) >= 0.98
