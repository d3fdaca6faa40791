"""Answers to assignment 09."""

RIGHT = {
    "09.1": {
        "scikit-learn, twice, on photographs": """
from sklearn.model_selection import train_test_split

def split(labels, source, seed):
    names, first = np.unique(source, return_index=True)
    kinds = labels[first]
    a, rest, _, k = train_test_split(names, kinds, test_size=0.3, stratify=kinds, random_state=seed)
    b, c = train_test_split(rest, test_size=0.5, stratify=k, random_state=seed)
    return [np.where(np.isin(source, part))[0] for part in (a, b, c)]
""",
        "pandas": """
def split(labels, source, seed):
    table = pd.DataFrame({"label": labels, "source": source})
    once = table.drop_duplicates("source").sample(frac=1, random_state=seed)
    place = once.groupby("label").cumcount() / once.groupby("label")["label"].transform("size")
    part = dict(zip(once["source"], (place >= 0.7 - 1e-9).astype(int) + (place >= 0.85 - 1e-9)))
    where = table["source"].map(part)
    return tuple(table.index[where == k] for k in range(3))
""",
    },
    "09.2": {
        "a loop with if": """
def scores(confusion):
    rows = []
    for k in range(len(confusion)):
        right = float(confusion[k][k])
        said = float(sum(row[k] for row in confusion))
        there = float(sum(confusion[k]))
        p = right / said if said else 0.0
        r = right / there if there else 0.0
        rows.append([p, r, 2 * p * r / (p + r) if p + r else 0.0])
    return torch.tensor(rows)
""",
        "F1 from counts": """
def scores(confusion):
    c = torch.as_tensor(confusion).double()
    right, said, there = c.diagonal(), c.sum(0), c.sum(1)
    pairs = ((right, said), (right, there), (2 * right, said + there))
    return torch.nan_to_num(torch.stack([a / b for a, b in pairs], 1))
""",
    },
    "09.3": {
        "text": """
def strata_of(classes, sizes, n_sizes):
    edges = np.quantile(sizes, np.arange(1, n_sizes) / n_sizes)
    groups = np.digitize(sizes, edges)
    return np.array([f"{c}, {g}" for c, g in zip(classes, groups)])
""",
        "ranks, and the size first": """
def strata_of(classes, sizes, n_sizes):
    group = pd.qcut(pd.Series(sizes), n_sizes, labels=False)
    return group.to_numpy() * (classes.max() + 1) + classes
""",
    },
    "09.4": {
        "pandas": """
table = measured(cu.student_seed(student))

def within_strata(values, wrong, strata, n_resamples, seed):
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"v": np.asarray(values, float), "w": np.asarray(wrong, float), "s": strata})
    def slope(rows):
        rest = rows[["v", "w"]] - rows.groupby("s")[["v", "w"]].transform("mean")
        return (rest.v * rest.w).sum() / (rest.w ** 2).sum()
    found, hits = slope(rows), 0
    rest = rows[["v", "w"]] - rows.groupby("s")[["v", "w"]].transform("mean")
    v, w = rest.v.to_numpy(), rest.w.to_numpy()
    groups = list(rows.groupby("s").indices.values())
    for _ in range(n_resamples):
        new = w.copy()
        for g in groups:
            new[g] = rng.permutation(w[g])
        hits += abs(v @ new / (w @ w)) >= abs(found) - 1e-12
    return found, (hits + 1) / (n_resamples + 1)

w = table.true.ne(table.said)
raw = float(table.share[w].mean() - table.share[~w].mean())
left, _ = within_strata(table["share"], w, strata_of(table.true.values, table["size"].values, 3), 9, 0)
left = round(left, 4)
""",
        "all shuffles at once": """
table = measured(cu.student_seed(student))

def within_strata(values, wrong, strata, n_resamples, seed):
    rng = np.random.default_rng(seed)
    _, strata = np.unique(strata, return_inverse=True)
    one_hot = np.eye(strata.max() + 1)[strata]
    centre = lambda x: x - one_hot @ (one_hot.T @ x / one_hot.sum(0))
    v, w = centre(np.asarray(values, float)), centre(np.asarray(wrong, float))
    base = np.lexsort((np.zeros(len(v)), strata))
    keys = rng.random((n_resamples, len(v)))
    orders = np.argsort(strata + keys, axis=1)
    shuffled = np.empty((n_resamples, len(v)))
    shuffled[:, base] = w[orders]
    p = (1 + (np.abs(shuffled @ v) >= abs(w @ v) - 1e-12).sum()) / (n_resamples + 1)
    return w @ v / (w @ w), p

miss = (table["true"] != table["said"]).to_numpy()
share = table["share"].to_numpy()
raw = share[miss].mean() - share[~miss].mean()
left = within_strata(share, miss, strata_of(table["true"].to_numpy(), table["size"].to_numpy(), 3), 1, 1)[0]
""",
    },
}

_SPLIT = """
def split(labels, source, seed):
    rng, parts = np.random.default_rng(seed), ([], [], [])
    for label in np.unique(labels):
        photographs = rng.permutation(np.unique(source[labels == label]))
        cuts = np.round(np.array([0.7, 0.85]) * len(photographs)).astype(int)
        for part, some in zip(parts, np.split(photographs, cuts)):
            part.extend(some)
    return tuple(np.flatnonzero(np.isin(source, part)) for part in parts)
"""
_SCORES = """
def scores(confusion):
    c = np.asarray(confusion, dtype=float)
    right = np.diag(c)
    p = right / np.maximum(c.sum(axis=0), 1)
    r = right / np.maximum(c.sum(axis=1), 1)
    f = 2 * p * r / np.where(p + r > 0, p + r, 1)
    return np.stack([p, r, f], axis=1)
"""
_STRATA = """
def strata_of(classes, sizes, n_sizes):
    edges = np.quantile(sizes, np.arange(1, n_sizes) / n_sizes)
    return NUMBER
"""
_WITHIN = """
table = measured(cu.student_seed(student))

def within_strata(values, wrong, strata, n_resamples, seed):
    rng, count = np.random.default_rng(seed), 1
    rest, excess = np.array(values, dtype=float), np.array(wrong, dtype=float)
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    for places in members:
        rest[places] -= rest[places].mean()
        excess[places] -= excess[places].mean()
    shuffled = excess.copy()
    for _ in range(n_resamples):
        for places in members:
            shuffled[places] = excess[rng.permutation(places)]
        count += abs(rest @ shuffled) >= abs(rest @ excess) - 1e-12
    return rest @ excess / (excess @ excess), count / (n_resamples + 1)

miss = (table["true"] != table["said"]).to_numpy()
share = table["share"].to_numpy()
raw = share[miss].mean() - share[~miss].mean()
number = strata_of(table["true"].to_numpy(), table["size"].to_numpy(), 3)
left = within_strata(share, miss, number, 9, 0)[0]
"""

WRONG = {
    "09.1": {
        "entries are drawn": """
from sklearn.model_selection import train_test_split

def split(labels, source, seed):
    every = np.arange(len(labels))
    a, rest = train_test_split(every, test_size=0.3, stratify=labels, random_state=seed)
    b, c = train_test_split(rest, test_size=0.5, stratify=labels[rest], random_state=seed)
    return a, b, c
""",
        "not stratified": """
def split(labels, source, seed):
    names = np.random.default_rng(seed).permutation(np.unique(source))
    n = len(names)
    parts = np.split(names, [round(0.7 * n), round(0.85 * n)])
    return tuple(np.flatnonzero(np.isin(source, part)) for part in parts)
""",
        "15 % of the rest": _SPLIT.replace(
            "np.array([0.7, 0.85]) * len(photographs)",
            "np.array([0.7, 0.7 + 0.15 * 0.3]) * len(photographs)",
        ),
        "photographs are returned": _SPLIT.replace(
            "np.flatnonzero(np.isin(source, part))", "np.array(part)"
        ),
        "not shuffled": _SPLIT.replace(
            "rng.permutation(np.unique(source[labels == label]))",
            "np.unique(source[labels == label])",
        ),
        "always the same draw": _SPLIT.replace("default_rng(seed)", "default_rng(0)"),
        "never the same draw": _SPLIT.replace("default_rng(seed)", "default_rng()"),
        "masks": _SPLIT.replace("np.flatnonzero(np.isin(source, part))", "np.isin(source, part)"),
        "one entry of each photograph": _SPLIT.replace(
            "np.flatnonzero(np.isin(source, part))",
            "np.array([np.flatnonzero(source == p)[0] for p in part])",
        ),
        "two parts": _SPLIT.replace("for part in parts)", "for part in parts[:2])"),
    },
    "09.2": {
        "precision and recall exchanged": _SCORES.replace("[p, r, f]", "[r, p, f]"),
        "NaN": _SCORES.replace("np.maximum(c.sum(axis=0), 1)", "c.sum(axis=0)"),
        "F1 as the mean": _SCORES.replace(
            "2 * p * r / np.where(p + r > 0, p + r, 1)", "(p + r) / 2"
        ),
        "shares of all pictures": _SCORES.replace("np.maximum(c.sum(axis=0), 1)", "c.sum()"),
        "rows and columns exchanged": _SCORES.replace("axis=1)\n", "axis=0)\n"),
        "accuracy for all": _SCORES.replace(
            "r = right / np.maximum(c.sum(axis=1), 1)", "r = right.sum() / c.sum() + 0 * right"
        ),
        "a small number below": _SCORES.replace(
            "np.maximum(c.sum(axis=0), 1)", "(c.sum(axis=0) + 0.1)"
        ),
    },
    "09.3": {
        "the bug": _STRATA.replace("NUMBER", "classes + np.digitize(sizes, edges)"),
        "a product": _STRATA.replace("NUMBER", "(classes + 1) * (np.digitize(sizes, edges) + 1)"),
        "twice the class": _STRATA.replace("NUMBER", "2 * classes + np.digitize(sizes, edges)"),
        "three, always": _STRATA.replace("NUMBER", "3 * classes + np.digitize(sizes, edges)"),
        "three times the size": _STRATA.replace(
            "NUMBER", "classes + 2 * np.digitize(sizes, edges)"
        ),
        "class alone": _STRATA.replace("NUMBER", "classes"),
        "size alone": _STRATA.replace("NUMBER", "np.digitize(sizes, edges)"),
        "groups of each class": """
def strata_of(classes, sizes, n_sizes):
    number = np.zeros(len(classes), dtype=int)
    for c in np.unique(classes):
        own = classes == c
        edges = np.quantile(sizes[own], np.arange(1, n_sizes) / n_sizes)
        number[own] = n_sizes * c + np.digitize(sizes[own], edges)
    return number
""",
        "groups as wide as each other": """
def strata_of(classes, sizes, n_sizes):
    edges = np.linspace(sizes.min(), sizes.max(), n_sizes + 1)[1:-1]
    return n_sizes * classes + np.digitize(sizes, edges)
""",
    },
    "09.4": {
        "shuffled over all": _WITHIN.replace(
            "        for places in members:\n            shuffled[places] = excess[rng.permutation(places)]\n",
            "        shuffled = rng.permutation(excess)\n",
        ),
        "nothing is held fixed": _WITHIN.replace("np.unique(strata)]", "[0]]").replace(
            "strata == s", "strata == strata"
        ),
        "the last stratum is forgotten": _WITHIN.replace(
            "np.unique(strata)]", "np.unique(strata)[:-1]]"
        ),
        "divided by the number": _WITHIN.replace("/ (excess @ excess)", "/ len(rest)"),
        "one side only": _WITHIN.replace(
            "abs(rest @ shuffled) >= abs(rest @ excess)", "rest @ shuffled >= rest @ excess"
        ),
        "p can be zero": _WITHIN.replace("default_rng(seed), 1", "default_rng(seed), 0").replace(
            "count / (n_resamples + 1)", "count / n_resamples"
        ),
        "values are changed": _WITHIN.replace("np.array(values, dtype=float)", "values").replace(
            'share = table["share"].to_numpy()', 'share = table["share"].to_numpy().copy()'
        ),
        "raw with the other sign": _WITHIN.replace(
            "share[miss].mean() - share[~miss].mean()", "share[~miss].mean() - share[miss].mean()"
        ),
        "left within class only": _WITHIN.replace(
            "share, miss, number,", "share, miss, table['true'].to_numpy(),"
        ),
        "p instead of the difference": _WITHIN.replace("9, 0)[0]", "9, 0)[1]"),
    },
}

CHEATS: dict[str, dict[str, str]] = {}
