"""Answers to assignment 04."""

RIGHT = {
    "04.1": {
        "the hook hands on a copy": """
def grad_cam(model, layer, images, targets):
    kept = []

    def hook(module, inputs, output):
        kept.append(output)
        return output.clone()

    handle = layer.register_forward_hook(hook)
    logits = model(images.clone().requires_grad_())
    handle.remove()
    score = logits[torch.arange(len(images)), targets].sum()
    (slopes,) = torch.autograd.grad(score, kept[0])
    maps = torch.einsum("nkhw,nk->nhw", kept[0], slopes.flatten(2).mean(2))
    return maps.clamp(min=0)[:, None].detach()
""",
        "one by one": """
def grad_cam(model, layer, images, targets):
    cams = []
    for image, target in zip(images, targets):
        store = {}

        def hook(module, inputs, output):
            store["a"] = output.detach() + 0
            output.register_hook(lambda g: store.__setitem__("g", g))

        h = layer.register_forward_hook(hook)
        x = image[None].detach().clone()
        x.requires_grad = True
        model(x)[0, int(target)].backward()
        h.remove()
        w = store["g"][0].mean(dim=(1, 2))
        cams.append(torch.relu((w[:, None, None] * store["a"][0]).sum(0, keepdim=True)))
    return torch.stack(cams)
""",
    },
    "04.2": {
        "a threshold for each picture": """
def overlap(maps, masks):
    big = F.interpolate(maps, size=tuple(masks.shape[-2:]), mode="bilinear", align_corners=False)
    big, flat = big.flatten(1), masks.flatten(1)
    k = flat.sum(dim=1)
    ordered = big.sort(dim=1, descending=True).values
    chosen = big >= ordered[torch.arange(len(k)), k - 1][:, None]
    return (chosen & flat).sum(1) / (chosen | flat).sum(1)
""",
        "numpy": """
def overlap(maps, masks):
    import numpy as np
    result = []
    for m, mask in zip(maps, masks):
        m = F.interpolate(m[None], mask.shape, mode="bilinear", align_corners=False)[0, 0].numpy()
        t = mask.numpy().ravel()
        top = set(np.argsort(-m.ravel())[: t.sum()].tolist())
        true = set(np.nonzero(t)[0].tolist())
        result.append(len(top & true) / len(top | true))
    return np.array(result)
""",
    },
    "04.3": {
        "the mode is put back": """
def last_cam(network, images, targets):
    modes = [(m, m.training) for m in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            maps = network[0](images)
        maps.requires_grad_()
        logits = network[1:](maps).gather(1, targets[:, None])
        (slopes,) = torch.autograd.grad(logits.sum(), maps)
    finally:
        for m, mode in modes:
            m.training = mode
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    return (weights * maps.detach()).sum(dim=1, keepdim=True).relu()
""",
        "without a gradient": """
def last_cam(network, images, targets):
    was = network.training
    network.eval()
    with torch.no_grad():
        maps = network[0](images)
        weights = network[-1].weight[targets] / (maps.shape[2] * maps.shape[3])
        cam = (maps * weights[:, :, None, None]).sum(1, keepdim=True).clamp(min=0)
    network.train(was)
    return cam
""",
    },
    "04.4": {
        "one by one": """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = torch.randperm(len(table.indices), generator=draw)[:6]
as_is, on_stone = ready(table.before.subset(mine)), ready(table.after.subset(mine))
without, truth = ready(taken.after.subset(mine)), table.before.labels[mine]
for_table, for_object, flips = 0, 0, 0
for p, q, r, t in zip(as_is, on_stone, without, truth):
    was, then, gone = (model(image[None])[0] for image in (p, q, r))
    for_table += abs(float(was[t] - then[t]))
    for_object += abs(float(was[t] - gone[t]))
    flips += int(was.argmax() != then.argmax())
share = for_table / for_object
""",
        "tensors": """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = torch.randperm(len(table.indices), generator=draw)[:6]
as_is, on_stone = ready(table.before.subset(mine)), ready(table.after.subset(mine))
without, truth = ready(taken.after.subset(mine)), table.before.labels[mine]
three = model(torch.cat([as_is, on_stone, without])).view(3, 6, 3)
own = three.gather(2, truth.repeat(3, 1)[:, :, None])[:, :, 0]
moves = (own[1:] - own[0]).abs().mean(dim=1)
share = moves[0] / moves[1]
flips = sum(int(a != b) for a, b in zip(three[0].argmax(1), three[1].argmax(1)))
""",
    },
}

_CAM = """
def grad_cam(model, layer, images, targets):
    kept = {{}}

    def keep_both(module, inputs, output):
        kept["maps"] = {kept}
        output.register_hook(lambda gradient: kept.update(gradient=gradient))

    handle = layer.register_forward_hook(keep_both)
    logits = model(images.detach().clone().requires_grad_())
    {score}.backward()
    {remove}
    slopes, maps = kept["gradient"], kept["maps"]
    return {answer}
"""


def _cam(**changed: str) -> str:
    usual = {
        "kept": "output.detach().clone()",
        "score": "logits.gather(1, targets[:, None]).sum()",
        "remove": "handle.remove()",
        "answer": "(slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()",
    }
    return _CAM.format(**usual | changed)


_LAST = """
def last_cam(network, images, targets):
    {before}
    with torch.no_grad():
        maps = network[0](images)
    maps.requires_grad_()
    logits = network[1:](maps).gather(1, targets[:, None])
    (slopes,) = torch.autograd.grad(logits.sum(), maps)
    weights = slopes.mean(dim=(2, 3), keepdim=True)
    {after}
    return (weights * maps.detach()).sum(dim=1, keepdim=True).relu()
"""

_OVERLAP = """
def overlap(maps, masks):
    size = tuple(masks.shape[1:])
    large = {large}
    found = []
    for values, mask in zip(large[:, 0], masks):
        chosen = {chosen}
        found.append({answer})
    return torch.stack(found)
"""


def _overlap(**changed: str) -> str:
    usual = {
        "large": "F.interpolate(maps, size, mode='bilinear', align_corners=False)",
        "chosen": "values >= values.flatten().topk(int(mask.sum())).values[-1]",
        "answer": "(chosen & mask).sum() / (chosen | mask).sum()",
    }
    return _OVERLAP.format(**usual | changed)


_MINE = """
draw = torch.Generator().manual_seed(cu.student_seed(student))
mine = torch.randperm(len(table.indices), generator=draw)[:6]
as_is, on_stone = ready(table.before.subset(mine)), ready(table.after.subset(mine))
without, truth = ready(taken.after.subset(mine)), table.before.labels[mine]
a, b, c = model(as_is), model(on_stone), model(without)
flips = int((a.argmax(1) != b.argmax(1)).sum())
a, b, c = (logits.gather(1, truth[:, None])[:, 0] for logits in (a, b, c))
"""

WRONG = {
    "04.1": {
        "no ReLU": _cam(answer="(slopes.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)"),
        "ReLU before the sum": _cam(
            answer="(slopes.mean((2, 3), keepdim=True) * maps).relu().sum(1, keepdim=True)"
        ),
        "place by place": _cam(answer="(slopes * maps).sum(1, keepdim=True).relu()"),
        "sum of the gradient": _cam(
            answer="(slopes.sum((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()"
        ),
        "mean over channels": _cam(
            answer="(slopes.mean((2, 3), keepdim=True) * maps).mean(1, keepdim=True).relu()"
        ),
        "maps that were overwritten": _cam(kept="output.detach()"),
        "a hook is left": _cam(remove="pass"),
        "of the largest logit": _cam(score="logits.amax(1).sum()"),
        "channels gone": _cam(answer="(slopes.mean((2, 3), keepdim=True) * maps).sum(1).relu()"),
        "one target for all": _cam(score="logits[:, targets[0]].sum()"),
    },
    "04.2": {
        "share of the map": _overlap(answer="values[mask].sum() / values.sum()"),
        "divided by the area": _overlap(answer="(chosen & mask).sum() / mask.sum()"),
        "half of the largest value": _overlap(chosen="values >= values.max() / 2"),
        "nearest": _overlap(large="F.interpolate(maps, size, mode='nearest')"),
        "corners aligned": _overlap(
            large="F.interpolate(maps, size, mode='bilinear', align_corners=True)"
        ),
        "as many pixels in every picture": _overlap(
            chosen="values >= values.flatten().topk(int(masks[0].sum())).values[-1]"
        ),
        "not enlarged": _overlap(large="maps"),
        "Dice": _overlap(answer="2 * (chosen & mask).sum() / (chosen.sum() + mask.sum())"),
    },
    "04.3": {
        "the bug": _LAST.format(before="network.train()", after=""),
        "only taken out": _LAST.format(before="", after=""),
        "evaluation mode for good": _LAST.format(before="network.eval()", after=""),
        "training mode afterwards": _LAST.format(before="network.eval()", after="network.train()"),
        "a copy in training mode": _LAST.format(
            before="network = copy.deepcopy(network).train()", after=""
        ),
        "momentum of nothing": _LAST.format(
            before="[setattr(m, 'momentum', 0.0) for m in network.modules()]", after=""
        ),
        "only the body": _LAST.format(
            before="was = network.training; network[0].eval()", after="network.train(was and False)"
        ),
    },
    "04.4": {
        "signed": _MINE + "share = float((a - b).mean() / (a - c).mean())\n",
        "mean of ratios": _MINE + "share = float(((a - b) / (a - c)).abs().mean())\n",
        "upside down": _MINE + "share = float((a - c).abs().mean() / (a - b).abs().mean())\n",
        "all three logits": _MINE
        + """
a, b, c = model(as_is), model(on_stone), model(without)
share = float((a - b).abs().mean() / (a - c).abs().mean())
""",
        "probabilities": _MINE
        + """
a, b, c = (model(p).softmax(1)[range(6), truth] for p in (as_is, on_stone, without))
share = float((a - b).abs().mean() / (a - c).abs().mean())
""",
        "other scenes": _MINE
        + """
p, q, r = table.before.subset(range(6)), table.after.subset(range(6)), taken.after.subset(range(6))
a, b, c = (model(ready(s)).gather(1, p.labels[:, None])[:, 0] for s in (p, q, r))
share = float((a - b).abs().mean() / (a - c).abs().mean())
""",
        "flips of the vegetable": _MINE
        + """
share = float((a - b).abs().mean() / (a - c).abs().mean())
flips = 6 - int((model(without).argmax(1) == model(as_is).argmax(1)).sum())
""",
        "somebody else's numbers": "share, flips = 0.1234, 1\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task. A library's function is refused.
CHEATS = {
    "04.1": {
        "library: Captum": """
def grad_cam(model, layer, images, targets):
    x = images.clone().requires_grad_()
    return LayerGradCam(model, layer).attribute(x, targets, relu_attributions=True)
""",
        "library: the course's": """
from course_utils import grad_cam as theirs

def grad_cam(model, layer, images, targets):
    return theirs(model, images, targets, layer, upsample=False)
""",
    },
}
