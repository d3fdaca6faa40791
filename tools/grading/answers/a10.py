"""Answers to assignment 10."""

RIGHT = {
    "10.1": {
        "lengths between the parts": """
def key(model, pictures, settings):
    h = hashlib.md5()
    for t in model.state_dict().values():
        h.update(t.numpy().tobytes())
    for p in pictures:
        h.update(str(len(p)).encode() + b":" + p)
    for k in sorted(settings):
        h.update(f"|{k}={settings[k]!r}".encode())
    return h.hexdigest()
""",
        "one long text": """
import json

def key(model, pictures, settings):
    weights = [p.detach().numpy().tobytes().hex() for p in model.parameters()]
    parts = [weights, [p.hex() for p in pictures], settings]
    return "work-" + hashlib.blake2b(json.dumps(parts, sort_keys=True).encode()).hexdigest()
""",
    },
    "10.2": {
        "a while loop, another name first": """
def run(paths, out, disk, size):
    bad, n, rest = {}, 0, list(paths)
    while rest:
        part, rest = rest[:size], rest[size:]
        target = out / shard_name(part)
        if target in out.iterdir():
            continue
        good, tensors = [], []
        for p in part:
            try:
                tensors.append(open_picture(p))
            except cu.PhotoError as problem:
                bad |= {p.name: f"{problem}"}
            else:
                good.append(p.name)
        if good:
            table, maps = explain(torch.stack(tensors))
            table = table.assign(picture=good, map=[m.numpy().ravel() for m in maps])
            temporary = out / ("unfinished-" + target.stem + ".tmp")
            disk.write(temporary, table.to_parquet(index=False))
            disk.rename(temporary, target)
            n += 1
    return bad, n
""",
        "two functions": """
def opened(part, skipped):
    for p in part:
        try:
            yield p.name, open_picture(p)
        except cu.PhotoError as e:
            skipped[p.name] = str(e)

def run(paths, out, disk, size):
    skipped, computed = {}, 0
    parts = [paths[i:i + size] for i in range(0, len(paths), size)]
    for name, part in [(shard_name(part), part) for part in parts]:
        if not (out / name).is_file():
            found = dict(opened(part, skipped))
            if found:
                rows, maps = explain(torch.stack(tuple(found.values())))
                rows.insert(0, "picture", list(found))
                rows["map"] = list(maps.flatten(1).numpy())
                disk.write(out / f"{name}.part", rows.to_parquet(index=False))
                disk.rename(out / f"{name}.part", out / name)
                computed += 1
    return skipped, computed
""",
    },
    "10.3": {
        "a merge": """
def with_truth(out, truth):
    table = pd.concat([pd.read_parquet(p) for p in sorted(out.glob("*.parquet"))])
    known = pd.DataFrame({"picture": list(truth), "true": list(truth.values())})
    table = table.merge(known, on="picture", how="left").reset_index(drop=True)
    return table.assign(wrong=lambda t: t["label"] != t["true"])
""",
        "all files at once": """
def with_truth(out, truth):
    table = pd.read_parquet(out).reset_index(drop=True)
    table["true"] = [truth[name] for name in table.picture]
    table["wrong"] = ~(table.true == table.label)
    return table
""",
    },
    "10.4": {
        "a matrix of cosines": """
pictures, truth, rows, maps = pictures_of(cu.student_seed(student))
m = np.abs(maps.numpy().reshape(100, -1)).astype(float)
m /= np.sqrt((m**2).sum(1, keepdims=True))
lab = rows["label"].to_numpy()
same = (lab[:, None] == lab[None]) & ~np.eye(100, dtype=bool)
rest = same @ m
size = np.linalg.norm(rest, axis=1)
u = np.where(same.sum(1) >= 4, 1 - (m * rest).sum(1) / np.maximum(size, 1e-12), 0)
strangest = u.argmax()
distance = u.max()
mistakes = sum(lab[i] != truth[i] for i in np.argsort(u)[-25:])
""",
        "pandas": """
pictures, truth, rows, maps = pictures_of(cu.student_seed(student))
size = maps.abs().flatten(1)
size = size / (size ** 2).sum(dim=1, keepdim=True).sqrt()
table = rows.assign(true=truth, unlike=0.0)
for _, mates in table.groupby("label").groups.items():
    if len(mates) >= 5:
        rest = size[list(mates)].sum(dim=0) - size[list(mates)]
        cosine = (size[list(mates)] * rest).sum(dim=1) / rest.norm(dim=1)
        table.loc[mates, "unlike"] = 1 - cosine.numpy().astype(float)
table = table.sort_values("unlike", ascending=False)
strangest = table.index[0]
distance = round(table.unlike.iloc[0], 4)
mistakes = (table.label != table.true).head(25).sum()
""",
    },
}

_KEY = """
def key(model, pictures, settings):
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for name, weights in model.state_dict().items():
        digest.update(name.encode() + weights.numpy().tobytes())
    for picture in pictures:
        digest.update(hashlib.sha256(picture).digest())
    return digest.hexdigest()
"""
_RUN = """
def run(paths, out, disk, size):
    skipped, computed = {}, 0
    for start in range(0, len(paths), size):
        part = paths[start : start + size]
        shard = out / shard_name(part)
        if shard.exists():
            continue
        images = {}
        for path in part:
            try:
                images[path.name] = open_picture(path)
            except cu.PhotoError as error:
                skipped[path.name] = str(error)
        if not images:
            continue
        rows, maps = explain(torch.stack(list(images.values())))
        rows["picture"], rows["map"] = list(images), list(maps.flatten(1).numpy())
        disk.write(shard.with_suffix(".part"), rows.to_parquet(index=False))
        disk.rename(shard.with_suffix(".part"), shard)
        computed += 1
    return skipped, computed
"""
_WRITE = """        disk.write(shard.with_suffix(".part"), rows.to_parquet(index=False))
        disk.rename(shard.with_suffix(".part"), shard)
"""
_TABLE = """
def with_truth(out, truth):
    table = pd.concat([pd.read_parquet(p) for p in sorted(out.glob("*.parquet"))])
    HOW
    table["wrong"] = table["label"] != table["true"]
    return table
"""
_STRANGE = """
pictures, truth, rows, maps = pictures_of(cu.student_seed(student))
unit = torch.nn.functional.normalize(maps.abs().flatten(1), dim=1)
unlike = np.zeros(len(rows))
for members in rows.groupby("label").indices.values():
    if len(members) >= 5:
        others = unit[members].sum(dim=0) - unit[members]
        unlike[members] = 1 - torch.nn.functional.cosine_similarity(unit[members], others)
order = np.argsort(-unlike)
strangest = int(order[0])
distance = unlike[order[0]]
mistakes = int((rows["label"].to_numpy() != np.array(truth))[order[:25]].sum())
"""

WRONG = {
    "10.1": {
        "settings as they come": _KEY.replace("sorted(settings.items())", "settings"),
        "pictures joined": _KEY.replace(
            "digest.update(hashlib.sha256(picture).digest())", "digest.update(picture)"
        ),
        "pictures sorted": _KEY.replace("in pictures", "in sorted(pictures)"),
        "the weights forgotten": _KEY.replace(" + weights.numpy().tobytes()", ""),
        "weights as text": _KEY.replace("weights.numpy().tobytes()", "str(weights).encode()"),
        "values without names": _KEY.replace(
            "sorted(settings.items())", "sorted(settings.values())"
        ),
        "names without values": _KEY.replace("sorted(settings.items())", "sorted(settings)"),
        "Python's hash": """
def key(model, pictures, settings):
    weights = tuple(w.numpy().tobytes() for w in model.state_dict().values())
    return str(hash((weights, tuple(pictures), tuple(sorted(settings.items())))))
""",
        "the model's id": _KEY.replace("repr(sorted", "repr((id(model), sorted").replace(
            ").encode())\n    for", ")).encode())\n    for", 1
        ),
        "no text": _KEY.replace("digest.hexdigest()", "digest"),
    },
    "10.2": {
        "writes directly": _RUN.replace(
            _WRITE, "        disk.write(shard, rows.to_parquet(index=False))\n"
        ),
        "the other name ends in .parquet": _RUN.replace(
            '.with_suffix(".part")', '.with_name("new-" + shard.name)'
        ),
        "nothing is skipped": _RUN.replace("except cu.PhotoError", "except KeyError"),
        "does not look what is there": _RUN.replace("if shard.exists():", "if False:"),
        "a shard of nothing": _RUN.replace("if not images:", "if False:"),
        "the last shard is forgotten": _RUN.replace(
            "len(paths), size)", "len(paths) - size + 1, size)"
        ),
        "all at the end": _RUN.replace(_WRITE, "        done.append((shard, rows))\n")
        .replace("    skipped, computed", "    done = []\n    skipped, computed", 1)
        .replace(
            "    return",
            """    for shard, rows in done:
"""
            + _WRITE
            + "    return",
        ),
        "catches everything": _RUN.replace(
            _WRITE,
            """        try:
            disk.write(shard, rows.to_parquet(index=False))
        except BaseException:
            continue
""",
        ),
    },
    "10.3": {
        "the bug": _TABLE.replace("HOW", 'table["true"] = pd.Series(list(truth.values()))'),
        "only the index": _TABLE.replace("))])", "))], ignore_index=True)").replace(
            "HOW", 'table["true"] = pd.Series(list(truth.values()))'
        ),
        "only the name": _TABLE.replace("HOW", 'table["true"] = table["picture"].map(truth)'),
        "values in their places": _TABLE.replace("))])", "))], ignore_index=True)").replace(
            "HOW", 'table["true"] = list(truth.values())[: len(table)]'
        ),
        "only pictures that are there, in the order of truth": _TABLE.replace(
            "))])", "))], ignore_index=True)"
        ).replace(
            "HOW",
            'table["true"] = [c for n, c in truth.items() if n in set(table["picture"])][::-1]',
        ),
        "right and wrong": _TABLE.replace("))])", "))], ignore_index=True)")
        .replace("HOW", 'table["true"] = table["picture"].map(truth)')
        .replace("!=", "=="),
        "sorted by truth": """
def with_truth(out, truth):
    table = pd.concat([pd.read_parquet(p) for p in sorted(out.glob("*.parquet"))])
    table = table.set_index("picture").loc[[n for n in sorted(truth) if n in set(table.picture)]]
    table["true"] = [truth[n] for n in table.index]
    table["wrong"] = table["label"] != table["true"]
    return table.reset_index()
""",
    },
    "10.4": {
        "with the picture itself": _STRANGE.replace(" - unit[members]\n", "\n").replace(
            "others = unit[members].sum(dim=0)", "others = unit[members].sum(dim=0)[None]"
        ),
        "with signs": _STRANGE.replace("maps.abs()", "maps"),
        "of the true class": _STRANGE.replace(
            'rows.groupby("label")', "rows.assign(t=truth).groupby('t')"
        ),
        "all pictures alike": _STRANGE.replace(
            'rows.groupby("label").indices.values()', "[np.arange(100)]"
        ),
        "the most usual": _STRANGE.replace("argsort(-unlike)", "argsort(unlike)"),
        "not divided by the length": _STRANGE.replace(
            "torch.nn.functional.normalize(maps.abs().flatten(1), dim=1)", "maps.abs().flatten(1)"
        ),
        "counts correct ones": _STRANGE.replace("!=", "=="),
        "in words": "strangest = 'the third'\ndistance = 1\nmistakes = 'many'\n",
    },
}

CHEATS: dict[str, dict[str, str]] = {}
