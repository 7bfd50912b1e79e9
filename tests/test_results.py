"""tdt4265.results: files of detections there and back, and the command that scores them."""

import json
import math

import pytest
from helpers import labels, make_scene, make_task_scene, pycocotools_stats, result

from tdt4265 import results as results_files


@pytest.fixture(scope="module")
def scene():
    return make_scene()


GOOD = result(0, 1, (1, 2, 3, 4), 0.5)
ODD = ["x\ny", "\x1b[31m" * 9, "\r" * 300_000, "a" * 300_000, [[["b\n" * 90] * 9] * 9] * 9, {"c\n" * 99: 5}]
ODD += [10**4000]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("key", ["image_id", "category_id", "bbox", "score", "segmentation", "keypoints", "size"])
def test_whatever_a_results_file_holds_is_quoted_in_one_short_line(tmp_path, key, odd):
    path = tmp_path / "results.json"
    entry = {**GOOD, "segmentation": {"size": [odd, 9], "counts": "1"}} if key == "size" else {**GOOD, key: odd}
    path.write_text(json.dumps([entry]))
    task = {"size": "segm", "segmentation": "segm", "keypoints": "keypoints"}.get(key, "bbox")
    with pytest.raises(results_files.ResultsError) as error:
        results_files.load_results(path, labels([(0, 1, [1, 2, 3, 4])]), task)
    said = str(error.value).removeprefix(str(path))
    assert said.isprintable() and len(said) <= 300


def test_results_file_there_and_back(tmp_path, scene):
    coco, results = scene
    path = tmp_path / "new" / "results.json"
    results_files.save_results(path, results)
    assert results_files.load_results(path, coco) == results
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("[{", "invalid JSON at line 1, column 3"),
        ('{"boxes": []}', "a results file is a list of detections, this is a dict"),
        (json.dumps([GOOD, 7]), "entry 1 is not an object"),
        (json.dumps([GOOD, {k: v for k, v in GOOD.items() if k != "score"}]), "entry 1 has no 'score'"),
        (json.dumps([{**GOOD, "bbox": [1, 2, 3]}]), "entry 0 has the bbox [1, 2, 3]: it must be four finite numbers"),
        (json.dumps([{**GOOD, "bbox": [1, 2, math.nan, 4]}]), "entry 0 has the bbox [1, 2, nan, 4]"),
        ("[" * 100_000, "lists or objects are nested too deeply"),
        ("[" + "9" * 5000 + "]", "holds a number of more than 4300 digits"),
        (json.dumps([{**GOOD, "score": 10**400}]), "it must be a finite number"),
        (json.dumps([{**GOOD, "bbox": [1, 2, 10**400, 4]}]), "it must be four finite numbers"),
        (json.dumps([{**GOOD, "image_id": 10**400}]), "it must be a whole number"),
        (json.dumps([{**GOOD, "bbox": [9, 9, -3, 4]}]), "of a negative size: a bbox is [x, y, width, height]"),
        (json.dumps([{**GOOD, "score": "high"}]), "entry 0 has the score 'high': it must be a finite number"),
        (json.dumps([GOOD, {**GOOD, "image_id": 99}]), "entry 1 has the image_id 99, which the labels don't have"),
        (json.dumps([{**GOOD, "image_id": "0"}]), "entry 0 has the image_id '0': it must be a whole number"),
        (json.dumps([{**GOOD, "category_id": 8}]), "entry 0 has the category_id 8, which the labels don't have"),
    ],
)
def test_a_bad_results_file_gets_one_line(tmp_path, content, line):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(results_files.ResultsError) as error:
        results_files.load_results(path, labels([(0, 1, [1, 2, 3, 4])]))
    assert str(path) in str(error.value)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "entry", "line"),
    [
        ("segm", {}, "entry 0 has no 'segmentation'"),
        ("segm", {"segmentation": [[1, 1, 5, 1, 5, 5]]}, "entry 0 has a segmentation that is no run-length code"),
        ("segm", {"segmentation": {"size": [9, 9], "counts": "Q1"}}, "a mask of size [9, 9]: its image has [100, 100]"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": "~~~~~~~~"}}, "counts do not fill its size"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": "zzz"}}, "counts do not fill its size"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": ""}}, "counts do not fill its size"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": "`ko"}}, "counts do not fill its size"),
        ("segm", {"segmentation": {"size": [10**12, 1], "counts": "`ko"}}, "a mask of size"),
        ("segm", {"segmentation": {"size": [-1, 100], "counts": ""}}, "is no run-length code"),
        ("keypoints", {}, "entry 0 has no 'keypoints'"),
        ("keypoints", {"keypoints": [1, 2]}, "entry 0 has keypoints that are not three finite numbers for each point"),
        ("keypoints", {"keypoints": [1, 2, math.nan]}, "entry 0 has keypoints that are not three finite numbers"),
        ("keypoints", {"keypoints": [1, 2, 1]}, "entry 0 has 3 numbers of keypoints: its category needs 6"),
    ],
)
def test_bad_masks_and_keypoints_get_one_line(tmp_path, task, entry, line):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([{"image_id": 0, "category_id": 1, "score": 0.5} | entry]))
    coco = labels([(0, 1, [1, 2, 3, 4])])
    coco["categories"][0]["keypoints"] = ["left", "right"]
    with pytest.raises(results_files.ResultsError) as error:
        results_files.load_results(path, coco, task)
    assert line in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["segm", "keypoints"])
def test_the_command_scores_masks_and_keypoints(tmp_path, task, capsys):
    coco, results = make_task_scene()
    if task == "keypoints":
        results = [r for r in results if r["category_id"] == 2]
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    results_files.save_results(tmp_path / "results.json", results)
    paths = [str(tmp_path / "labels.json"), str(tmp_path / "results.json")]
    assert results_files.main([*paths, "--task", task, "--areas", "coco"]) == 0
    printed = capsys.readouterr().out
    wanted = pycocotools_stats(coco, results, task)[0]
    assert f"  map        {wanted:.4f}" in printed


@pytest.mark.parametrize(
    ("task", "change", "line"),
    [
        ("segm", {}, "annotation id 0 has no usable mask"),
        ("segm", {"segmentation": []}, "annotation id 0 has no usable mask"),
        ("segm", {"segmentation": [[1, 1, 5]]}, "annotation id 0 has no usable mask"),
        ("segm", {"segmentation": [[1, 1, 1e8, 1, 5, 5]]}, "annotation id 0 has no usable mask"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": [-5, 10005]}}, "its runs do not fill the image"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": [10**30]}}, "its runs do not fill the image"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": "`ko"}}, "its counts end in the middle of a number"),
        ("segm", {"segmentation": None}, "annotation id 0 has no usable mask"),
        ("segm", {"segmentation": {"size": [100, 100], "counts": [5, 5]}}, "its runs do not fill the image"),
        ("keypoints", {"keypoints": [1, 2]}, "annotation id 0: keypoints [1, 2]: give 6 finite numbers"),
        ("keypoints", {"keypoints": None}, "annotation id 0: keypoints None: give 6 finite numbers"),
        ("keypoints", {"keypoints": [1, 2, 2]}, "annotation id 0: keypoints [1, 2, 2]: give 6 finite numbers"),
        ("bbox", {"category_id": 77}, "annotation id 0: unknown category_id 77"),
        ("bbox", {"image_id": 77}, "annotation id 0: unknown image_id 77"),
        ("bbox", {"image_id": False}, "annotation id 0: unknown image_id False"),
        ("bbox", {"image_id": [0]}, "annotation id 0: unknown image_id [0]"),
        ("bbox", {"iscrowd": 2}, "annotation id 0: iscrowd 2 is neither 0 nor 1"),
        ("bbox", {"area": "large"}, "annotation id 0: area 'large' is not a number of pixels"),
        ("bbox", {"bbox": [5, 5, -3, 4]}, "annotation id 0: bbox [5, 5, -3, 4] is empty"),
        ("bbox", {"bbox": [5, 5, 1e-9, 4]}, "bbox [5, 5, 1e-09, 4] is too small to have a width"),
        ("bbox", {"bbox": [500, 5, 3, 4]}, "annotation id 0: bbox [500, 5, 3, 4] is outside the image of 100 x 100"),
    ],
)
def test_labels_that_a_task_cannot_use_end_the_command_with_one_line(tmp_path, capsys, task, change, line):
    coco = labels([(0, 1, [1, 2, 3, 4])])
    coco["categories"][0]["keypoints"] = ["left", "right"]
    coco["annotations"][0] |= change
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    results_files.save_results(tmp_path / "results.json", [])
    assert results_files.main([str(tmp_path / "labels.json"), str(tmp_path / "results.json"), "--task", task]) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_twice_the_same_id_ends_the_command_with_one_line(tmp_path, capsys):
    for part in ("images", "categories", "annotations"):
        coco = labels([(0, 1, [1, 2, 3, 4]), (0, 1, [1, 2, 3, 4])])
        coco[part][1]["id"] = coco[part][0]["id"]
        (tmp_path / "labels.json").write_text(json.dumps(coco))
        results_files.save_results(tmp_path / "results.json", [])
        assert results_files.main([str(tmp_path / "labels.json"), str(tmp_path / "results.json")]) == 2
        assert "is there twice" in capsys.readouterr().err


def test_cocos_own_boxes_without_a_side_are_left_out_as_load_does(tmp_path, capsys):
    coco = labels([(0, 1, [1, 2, 3, 4]), (0, 1, [1, 2, 3, 0])])
    (tmp_path / "annotations").mkdir()
    results_files.save_results(tmp_path / "results.json", [result(0, 1, (1, 2, 3, 4), 0.5)])
    for folder, code in ((tmp_path / "annotations", 0), (tmp_path, 2)):
        (folder / "instances_val2017.json").write_text(json.dumps(coco))
        arguments = [str(folder / "instances_val2017.json"), str(tmp_path / "results.json")]
        assert results_files.main(arguments) == code
    printed = capsys.readouterr()
    assert "  map        1.0000" in printed.out and "annotation id 1: bbox [1, 2, 3, 0] is empty" in printed.err


def test_keypoints_need_categories_that_name_them(tmp_path, capsys):
    coco = labels([(0, 1, [1, 2, 3, 4])])
    for names, line in (([], 'no category has "keypoints"'), (["a"], "has other keypoints than another category")):
        coco["categories"][0]["keypoints"], coco["categories"][1]["keypoints"] = names, names and ["b", "c"]
        (tmp_path / "labels.json").write_text(json.dumps(coco))
        results_files.save_results(tmp_path / "results.json", [])
        paths = [str(tmp_path / "labels.json"), str(tmp_path / "results.json")]
        assert results_files.main([*paths, "--task", "keypoints"]) == 2
        assert line in capsys.readouterr().err


def test_command_line_prints_both_conventions(tmp_path, scene, capsys):
    coco, results = scene
    # What files of labels are like: no "info", "licences" for "licenses".
    (tmp_path / "labels.json").write_text(json.dumps({**coco, "licences": []}))
    results_files.save_results(tmp_path / "results.json", results)
    assert results_files.main([str(tmp_path / "labels.json"), str(tmp_path / "results.json")]) == 0
    printed = capsys.readouterr().out
    expected = pycocotools_stats(coco, results, "bbox")
    standard = printed[printed.index("areas of coco") :].splitlines()[1:13]
    assert [float(line.split()[1]) for line in standard] == pytest.approx(list(expected), abs=5e-5)
    assert "areas of course" in printed
    assert printed.rstrip().splitlines()[-1].split() == ["bus", "absent"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "can't be read (No such file or directory)"),
        ("[]", "not labels in COCO format"),
        (json.dumps({**labels([]), "annotations": [{"id": 0, "image_id": 0}]}),
         'entry 0 of "annotations" has no "category_id"'),
        (json.dumps(labels([(0, 1, [1, 2, 3, 4]), (0, 1, [1, 2, math.inf, 4])])),
         "annotation id 1: bbox [1, 2, inf, 4] is not finite"),
        (json.dumps(labels([(0, 1, [1, 2, 3, 4])])).replace("[1, 2, 3, 4]", "3"), "id 0: bbox 3 is malformed"),
    ],
)  # fmt: skip
def test_bad_labels_end_the_command_with_one_line(tmp_path, capsys, content, line):
    path = tmp_path / "labels.json"
    if content is not None:
        path.write_text(content)
    results_files.save_results(tmp_path / "results.json", [])
    assert results_files.main([str(path), str(tmp_path / "results.json")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert str(path) in printed.err
    assert line in printed.err
