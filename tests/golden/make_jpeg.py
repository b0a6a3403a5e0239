"""Writes jpeg.json: small JPEG files of many kinds, and SHA-256 of the pixels that Pillow (libjpeg-turbo) makes of them
whole and at a half, a quarter and an eighth of their size.

Pillow and OpenCV write those that they can; the others have random coefficients and are written here bit by bit: unusual
sampling factors, a scan for each component, codes of up to 16 bits, steps of 16 bits.

    pip install pillow==13.0.0 opencv-python-headless==5.0.0 numpy
    python make_jpeg.py > jpeg.json
"""

import base64
import hashlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, __version__, features

random = np.random.default_rng(20)


class Bits:
    def __init__(self):
        self.out, self.buffer, self.count = bytearray(), 0, 0

    def put(self, value: int, length: int) -> None:
        self.buffer, self.count = self.buffer << length | value, self.count + length
        while self.count >= 8:
            self.count -= 8
            byte = self.buffer >> self.count & 255
            self.out += bytes([byte, 0] if byte == 255 else [byte])
            self.buffer &= (1 << self.count) - 1

    def end(self) -> bytes:
        self.put((1 << 7) - 1, 7)
        self.buffer = self.count = 0
        out, self.out = bytes(self.out), bytearray()
        return out


class Codes:
    """Huffman codes: short ones for the first symbols, of 16 bits for the rest; half of all is never used."""

    def __init__(self, symbols: list[int]):
        self.lengths = {symbol: 3 + at // 2 if at < 12 else 16 for at, symbol in enumerate(symbols)}
        ordered = sorted(symbols, key=lambda s: self.lengths[s])
        code, last, self.codes = 0, 0, {}
        for symbol in ordered:
            code <<= self.lengths[symbol] - last
            last = self.lengths[symbol]
            self.codes[symbol] = code
            code += 1
        assert code < 1 << last
        counts = [sum(length == n for length in self.lengths.values()) for n in range(1, 17)]
        self.body = bytes(counts) + bytes(ordered)

    def put(self, bits: Bits, symbol: int) -> None:
        bits.put(self.codes[symbol], self.lengths[symbol])


DC = Codes([3, 0, 5, 1, 7, 2, 6, 4, 8, 9, 10, 11])
AC = Codes([0x01, 0x00, 0x11, 0x02, 0x21, 0x31, 0xF0] + [s for s in range(256) if s & 15 in range(1, 11) and s not in (1, 0x11, 2, 0x21, 0x31)])


def put_value(bits: Bits, value: int, size: int) -> None:
    if size:
        bits.put(value if value > 0 else value + (1 << size) - 1, size)


def put_block(bits: Bits, block: list[int], last: int) -> None:
    difference = block[0] - last
    size = abs(difference).bit_length()
    DC.put(bits, size)
    put_value(bits, difference, size)
    run = 0
    for value in block[1:]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            AC.put(bits, 0xF0)
            run -= 16
        size = abs(value).bit_length()
        AC.put(bits, run << 4 | size)
        put_value(bits, value, size)
        run = 0
    if run:
        AC.put(bits, 0)


def written(width, height, factors, *, frame=0xC0, apart=False, interval=0, deep=False, density=6, adobe=None, names=(1, 2, 3)) -> bytes:
    """A file of random coefficients."""
    out = bytearray(b"\xff\xd8")

    def segment(marker: int, body: bytes) -> None:
        out.extend([0xFF, marker])
        out.extend((len(body) + 2).to_bytes(2, "big") + body)

    if adobe is not None:
        segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([adobe]))
    steps = random.integers(1, 20, 64)
    segment(0xDB, b"\x10" + b"".join(int(s).to_bytes(2, "big") for s in steps) if deep else b"\0" + bytes(steps.tolist()))
    segment(0xC4, b"\0" + DC.body + b"\x10" + AC.body)
    count = len(factors)
    parts = b"".join(bytes([names[i], h << 4 | v, 0]) for i, (h, v) in enumerate(factors))
    segment(frame, bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([count]) + parts)
    if interval:
        segment(0xDD, interval.to_bytes(2, "big"))
    most_h, most_v = max(h for h, _ in factors), max(v for _, v in factors)
    across, down = -(-width // (8 * most_h)), -(-height // (8 * most_v))

    def block() -> list[int]:
        values = [0] * 64
        values[0] = int(random.integers(-60, 60))
        for at in random.integers(1, 64, random.integers(0, density + 1)):
            values[at] = int(random.integers(-9, 10))
        return values

    def scan(members: list[int]) -> None:
        segment(0xDA, bytes([len(members)]) + b"".join(bytes([names[m], 0]) for m in members) + b"\0\x3f\0")
        bits, last, done = Bits(), {}, 0
        if len(members) == 1:
            h, v = factors[members[0]]
            units = -(-(-(-width * h // most_h)) // 8) * -(-(-(-height * v // most_v)) // 8)
            sizes = {members[0]: 1}
        else:
            units, sizes = across * down, {m: factors[m][0] * factors[m][1] for m in members}
        for unit in range(units):
            if interval and unit and unit % interval == 0:
                out.extend(bits.end() + bytes([0xFF, 0xD0 + done % 8]))
                done, last = done + 1, {}
            for member in members:
                for _ in range(sizes[member]):
                    values = block()
                    put_block(bits, values, last.get(member, 0))
                    last[member] = values[0]
        out.extend(bits.end())

    for members in [[m] for m in range(count)] if apart else [list(range(count))]:
        scan(members)
    return bytes(out + b"\xff\xd9")


def pixels(file: bytes, divisor: int) -> np.ndarray:
    """As `draft` sets it up, for sizes that it would not be asked for, too."""
    image = Image.open(io.BytesIO(file))
    size = tuple(-(-side // divisor) for side in image.size)
    if divisor > 1:
        image.tile = [image.tile[0]._replace(extents=(0, 0, *size))]
        image._size, image.decoderconfig = size, (divisor, 0)
    assert image.size == size
    return np.asarray(image.convert("RGB"))


def files():
    folder = Path(__file__).parent / "images"
    photograph = Image.open(folder / "astronaut.png").convert("RGB")
    face = photograph.crop((150, 20, 300, 170))
    noise = Image.fromarray(random.integers(0, 256, (45, 61, 3), dtype=np.uint8))

    def pillow(image, **options) -> bytes:
        file = io.BytesIO()
        image.save(file, "JPEG", **options)
        return file.getvalue()

    def opencv(image, factors, progressive) -> bytes:
        options = [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors]
        return cv2.imencode(".jpg", np.asarray(image)[:, :, ::-1], options)[1].tobytes()

    for progressive in (False, True):
        kind = "progressive" if progressive else "baseline"
        for name, sampling in [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)]:
            for side in [(97, 81), (33, 17), (2, 9), (1, 1), (5, 3)]:
                image = face.resize(side)
                options = {"subsampling": sampling, "progressive": progressive, "optimize": progressive}
                yield f"{kind} {name} {side[0]}x{side[1]}", pillow(image, quality=85, **options)
        for name, factors in [("4:4:0", 0x121111), ("4:1:1", 0x411111)]:
            for side in [(97, 81), (7, 5)]:
                yield f"{kind} {name} {side[0]}x{side[1]}", opencv(face.resize(side), factors, progressive)
        small = face.resize((75, 58))
        yield f"{kind} grey", pillow(small.convert("L"), quality=85, progressive=progressive)
        yield f"{kind} RGB", pillow(small, quality=85, keep_rgb=True, progressive=progressive)
        yield f"{kind} restarts", pillow(small, quality=80, progressive=progressive, restart_marker_blocks=3)
        yield f"{kind} noise", pillow(noise, quality=98, progressive=progressive, subsampling=0)
        yield f"{kind} noise, few bits", pillow(noise, quality=3, progressive=progressive)
    yield "photograph", pillow(photograph.resize((300, 300)), quality=75)
    usual = [(2, 2), (1, 1), (1, 1)]
    yield "written 4:2:0", written(83, 45, usual)
    yield "written, extended", written(83, 45, usual, frame=0xC1, deep=True)
    yield "written, dense", written(40, 40, usual, density=70)
    yield "written, flat", written(83, 45, usual, density=0)
    yield "written, a scan each", written(83, 45, usual, apart=True)
    yield "written, a scan each with restarts", written(83, 45, usual, apart=True, interval=5)
    yield "written, restarts", written(83, 45, usual, interval=1)
    yield "written, grey of 2x2", written(43, 45, [(2, 2)])
    yield "written, Adobe's RGB", written(43, 45, [(1, 1)] * 3, adobe=0)
    yield "written, Adobe's YCbCr", written(43, 45, usual, adobe=1)
    yield "written, named RGB", written(43, 45, [(1, 1)] * 3, names=b"RGB")
    for factors in [
        [(1, 1), (2, 2), (1, 1)],
        [(2, 2), (1, 2), (2, 1)],
        [(2, 2), (2, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 2)],
        [(3, 1), (1, 1), (1, 1)],
        [(1, 3), (1, 1), (1, 1)],
        [(4, 2), (1, 1), (1, 1)],
        [(1, 4), (1, 1), (1, 1)],
        [(4, 1), (2, 1), (1, 1)],
        [(2, 1), (2, 1), (2, 1)],
    ]:
        name = " ".join(f"{h}x{v}" for h, v in factors)
        for side in [(71, 53), (9, 70)]:
            yield f"written {name} {side[0]}x{side[1]}", written(*side, factors, density=4)


def main() -> None:
    cases = []
    for name, file in files():
        digests = [hashlib.sha256(pixels(file, divisor).tobytes()).hexdigest() for divisor in (1, 2, 4, 8)]
        cases.append({"name": name, "file": base64.b64encode(file).decode(), "sha256": digests})
    reference = f"Pillow {__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f'{{"reference": "{reference}", "cases": [\n{lines}\n]}}')


if __name__ == "__main__":
    main()
