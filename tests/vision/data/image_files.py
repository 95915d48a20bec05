"""Files of images for the tests: pictures of one colour in folders, tars and Parquet."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(number, size=(6, 4), ending="png"):
    """Encoded (height, width) picture of one colour that tells the number."""
    file = io.BytesIO()
    Image.new("RGB", size[::-1], (number, 2 * number, 0)).save(file, ending)
    return file.getvalue()


def write_folder(folder, names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return folder


def write_tar(path, members):
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_parquet(path, images, **columns):
    pq.write_table(pa.table({"image": images, **columns}), path)
    return path


def colors(images):
    return [int(images[index][0][0, 0, 0]) for index in range(len(images))]
