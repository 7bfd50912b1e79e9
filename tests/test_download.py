"""The download, against a server on this machine."""

import http.server
import io
import json
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from tdt4265.data import DataError, load
from tdt4265.data import download as module
from tdt4265.data.download import download

URL_PATH = "/dataset.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.content`, from a byte on if asked; the first answer stops after `server.cut` bytes."""

    def do_GET(self):
        content, start = self.server.content, 0
        self.server.asked.append(self.headers.get("Range"))
        if content is None:
            return self.send_error(404)
        if self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.cut])
        self.server.cut = None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.cut, server.asked = None, None, []
    server.url = f"http://127.0.0.1:{server.server_port}{URL_PATH}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def frame() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 64, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def labels(split: str) -> bytes:
    image = {"id": 1, "width": 64, "height": 8, "file_name": f"images/{split}/a_Video00000_0.png"}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [3, 2, 10, 4]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "car"}]}
    return json.dumps(content).encode()


def bundle(prefix: str = "", **replaced: bytes | None) -> bytes:
    """A zip of the dataset's layout; `train`, `val`, `image` or `extra` replaces a part, None leaves it out."""
    parts = {
        f"{prefix}train_annotations.json": replaced.get("train", labels("train")),
        f"{prefix}val_annotations.json": replaced.get("val", labels("val")),
        f"{prefix}images/train/a_Video00000_0.png": frame(),
        f"{prefix}images/val/a_Video00000_0.png": replaced.get("image", frame()),
        "../outside.txt": replaced.get("extra"),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in parts.items():
            if content is not None:
                file.writestr(name, content)
    return buffer.getvalue()


def line(server, folder) -> str:
    """The one line of a download that fails, which leaves no folder and nothing half unpacked."""
    with pytest.raises(DataError) as error:
        download(server.url, folder)
    assert not folder.exists()
    assert not list(folder.parent.glob("*.unpacking"))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("prefix", ["", "tdt4265_2022/"])
def test_download_puts_the_dataset_where_load_looks(server, tmp_path, monkeypatch, prefix):
    server.content = bundle(prefix)
    monkeypatch.delenv("TDT4265_DATA", raising=False)
    monkeypatch.setenv("TDT4265_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"tdt4265_2022: .*python -m tdt4265.data.download"):
        load("tdt4265")
    monkeypatch.setattr(module, "URL", server.url)
    module.main([])
    train, val = load("tdt4265")
    assert (train.name, len(train), len(val)) == ("tdt4265", 1, 1)
    assert train.folder == tmp_path / "cache" / "tdt4265_2022"
    assert [path.name for path in train.folder.parent.iterdir()] == ["tdt4265_2022"]  # nothing is left beside it
    module.main([])
    assert len(server.asked) == 1  # it is there: not fetched again


def test_extended_goes_into_a_folder_of_its_own(server, tmp_path, monkeypatch, capsys):
    server.content = bundle()
    monkeypatch.setenv("TDT4265_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "EXTENDED_URL", server.url)
    module.main(["--extended"])
    assert (tmp_path / "tdt4265_2022_extended" / "val_annotations.json").is_file()
    assert f'load("{tmp_path / "tdt4265_2022_extended"}")' in capsys.readouterr().out


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    server.content, server.cut = bundle(), 500
    said = line(server, tmp_path / "real")
    assert f"ended after 500 of {len(server.content)} bytes" in said
    download(server.url, tmp_path / "real")
    assert server.asked == [None, "bytes=500-"]
    assert len(load(tmp_path / "real")[1]) == 1


def test_a_part_that_is_no_beginning_is_fetched_anew(server, tmp_path):
    server.content = bundle()
    (tmp_path / "real.zip.part").write_bytes(b"x" * (len(server.content) + 7))
    download(server.url, tmp_path / "real")
    assert server.asked == [f"bytes={len(server.content) + 7}-", None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bundle()[:-40], "not the dataset, whole (File is not a zip file): removed"),
        (b"<html>moved</html>", "not the dataset, whole (File is not a zip file): removed"),
        (bundle(train=None), "not the dataset, whole (no train_annotations.json in it): removed"),
        (bundle(val=None), "not the dataset, whole (no val_annotations.json in it): removed"),
        (bundle(extra=b"!"), "not the dataset, whole (entry '../outside.txt' points out of the archive): removed"),
        (bundle().replace(b'"car"', b'"cat"', 1), "not the dataset, whole (Bad CRC-32"),
    ],
    ids=["truncated", "a page", "no train labels", "no val labels", "traversal", "damaged"],
)
def test_a_bad_archive_is_refused_and_removed(server, tmp_path, content, said):
    server.content = content
    assert said in line(server, tmp_path / "real")
    assert not list(tmp_path.iterdir())
    assert not (tmp_path.parent / "outside.txt").exists()


def test_a_broken_image_inside_is_named_and_the_archive_kept(server, tmp_path):
    server.content = bundle(image=frame()[:-20])
    said = line(server, tmp_path / "real")
    assert said == f"{tmp_path}/real.zip/images/val/a_Video00000_0.png: the image is truncated: replace it"
    assert [path.name for path in tmp_path.iterdir()] == ["real.zip"]


def test_an_address_that_is_gone_gets_one_line(server, tmp_path):
    assert "HTTP Error 404: Not Found" in line(server, tmp_path / "real")


def test_without_network_the_command_ends_with_one_line(server, tmp_path, monkeypatch):
    server.shutdown()
    server.server_close()
    monkeypatch.setenv("TDT4265_DATA", str(tmp_path / "real"))
    monkeypatch.setattr(module, "URL", server.url)
    with pytest.raises(SystemExit) as ended:
        module.main([])
    assert str(ended.value).startswith(f"{server.url} -> {tmp_path}/real: ")
    assert "TDT4265_DATA" in str(ended.value) and "\n" not in str(ended.value)


def test_a_folder_of_something_else_is_left_alone(server, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else than the dataset"):
        download(server.url, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
