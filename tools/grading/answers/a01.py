"""Answers to assignment 01."""

RIGHT = {
    "01.1": {
        "backward": """
def saliency(model, images, targets):
    x = images.clone().detach()
    x.requires_grad = True
    out = model(x)
    out[range(len(x)), targets].sum().backward()
    g = x.grad.abs()
    return g.max(1)[0]
""",
        "one by one": """
import torch

def saliency(net, pictures, classes):
    maps = []
    for picture, c in zip(pictures, classes):
        p = picture[None].clone().requires_grad_(True)
        net(p)[0, int(c)].backward()
        maps.append(torch.max(torch.abs(p.grad[0]), 0).values)
    return torch.stack(maps)
""",
    },
    "01.2": {
        "all steps at once": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    alphas = (torch.arange(n_steps) + 0.5) / n_steps
    maps = []
    for x, t in zip(images, targets):
        line = (baseline + alphas.view(-1, 1, 1, 1) * (x - baseline)).requires_grad_()
        grads = torch.autograd.grad(model(line)[:, t].sum(), line)[0]
        maps.append((x - baseline[0]) * grads.mean(0))
    return torch.stack(maps)
""",
        "float alphas": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    grads = torch.zeros_like(images)
    for a in [(2 * k + 1) / (2 * n_steps) for k in range(n_steps)]:
        p = (a * images + (1 - a) * baseline).detach()
        p.requires_grad_()
        s = model(p)[torch.arange(len(p)), targets].sum()
        grads = grads + torch.autograd.grad(s, p)[0] / n_steps
    return grads * (images - baseline)
""",
    },
    "01.3": {
        "clone": """
def smooth_grad(model, images, targets, n_samples, noise):
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        noisy = images.clone()
        noisy += noise * torch.randn_like(images)
        noisy.requires_grad_()
        logits = model(noisy).gather(1, targets[:, None])
        total += torch.autograd.grad(logits.sum(), noisy)[0]
    return total / n_samples
""",
        "mean of a list": """
def smooth_grad(model, images, targets, n_samples, noise):
    found = []
    for _ in range(n_samples):
        leaf = (images + noise * torch.randn_like(images)).requires_grad_()
        found.append(torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0])
    return torch.stack(found).mean(dim=0)
""",
    },
    "01.4": {
        "numpy": """
scene = course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False)
mine = torch.tensor(scene.images).permute(0, 3, 1, 2) / 127.5 - 1
animal = torch.tensor(scene.masks[0] > 0)
best = int(model(mine).argmax())
values = integrated_gradients(model, mine, torch.tensor([best]), torch.zeros(1, 3, 32, 32), 50)
values = values[0].sum(0).abs().numpy()
share = values[animal.numpy()].sum() / values.sum()
""",
        "captum": """
scene = course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False)
mine = torch.tensor(scene.images).permute(0, 3, 1, 2) / 127.5 - 1
animal = torch.tensor(scene.masks[0] > 0)
ig = IntegratedGradients(model)
ig = ig.attribute(mine, target=model(mine).argmax(1), n_steps=50, method="riemann_middle")
size = ig.sum(1)[0].abs()
share = float((size * animal).sum() / size.sum())
""",
    },
}

WRONG = {
    "01.1": {
        "channels added": """
def saliency(model, images, targets):
    x = images.clone().requires_grad_()
    g = torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return g.abs().sum(dim=1)
""",
        "no absolute value": """
def saliency(model, images, targets):
    x = images.clone().requires_grad_()
    g = torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return g.amax(dim=1)
""",
        "of the largest logit": """
def saliency(model, images, targets):
    x = images.clone().requires_grad_()
    g = torch.autograd.grad(model(x).amax(dim=1).sum(), x)[0]
    return g.abs().amax(dim=1)
""",
        "of the probability": """
def saliency(model, images, targets):
    x = images.clone().requires_grad_()
    p = model(x).softmax(dim=1).gather(1, targets[:, None])
    return torch.autograd.grad(p.sum(), x)[0].abs().amax(dim=1)
""",
        "channels kept": """
def saliency(model, images, targets):
    x = images.clone().requires_grad_()
    return torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0].abs()
""",
        "changes the pictures": """
def saliency(model, images, targets):
    images.requires_grad_()
    g = torch.autograd.grad(model(images).gather(1, targets[:, None]).sum(), images)[0]
    return g.abs().amax(dim=1)
""",
    },
    "01.2": {
        "left ends": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    total = torch.zeros_like(images)
    for k in range(n_steps):
        x = (baseline + k / n_steps * (images - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return total / n_steps * (images - baseline)
""",
        "summed": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    total = torch.zeros_like(images)
    for k in range(n_steps):
        x = (baseline + (k + 0.5) / n_steps * (images - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return total * (images - baseline)
""",
        "times the picture": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    total = torch.zeros_like(images)
    for k in range(n_steps):
        x = (baseline + (k + 0.5) / n_steps * (images - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return total / n_steps * images
""",
        "no baseline": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    total = torch.zeros_like(images)
    for k in range(n_steps):
        x = ((k + 0.5) / n_steps * images).detach().requires_grad_()
        total += torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return total / n_steps * images
""",
        "absolute": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    total = torch.zeros_like(images)
    for k in range(n_steps):
        x = (baseline + (k + 0.5) / n_steps * (images - baseline)).detach().requires_grad_()
        total += torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)[0]
    return (total / n_steps * (images - baseline)).abs()
""",
    },
    "01.3": {
        "the bug": """
def smooth_grad(model, images, targets, n_samples, noise):
    total, noisy = torch.zeros_like(images), images
    for _ in range(n_samples):
        noisy = noisy + noise * torch.randn_like(images)
        leaf = noisy.detach().clone().requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0]
    return total / n_samples
""",
        "less noise": """
def smooth_grad(model, images, targets, n_samples, noise):
    total, noisy = torch.zeros_like(images), images
    for _ in range(n_samples):
        noisy = noisy + noise / n_samples * torch.randn_like(images)
        leaf = noisy.detach().clone().requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0]
    return total / n_samples
""",
        "absolute": """
def smooth_grad(model, images, targets, n_samples, noise):
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        leaf = (images + noise * torch.randn_like(images)).requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0].abs()
    return total / n_samples
""",
        "not divided": """
def smooth_grad(model, images, targets, n_samples, noise):
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        leaf = (images + noise * torch.randn_like(images)).requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0]
    return total
""",
        "uniform noise": """
def smooth_grad(model, images, targets, n_samples, noise):
    total = torch.zeros_like(images)
    for _ in range(n_samples):
        leaf = (images + noise * torch.rand_like(images)).requires_grad_()
        total += torch.autograd.grad(model(leaf).gather(1, targets[:, None]).sum(), leaf)[0]
    return total / n_samples
""",
    },
    "01.4": {
        "signed": """
animal = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).masks[0] > 0)
mine = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).images).permute(0, 3, 1, 2) / 127.5 - 1
v = IntegratedGradients(model).attribute(mine, target=model(mine).argmax(1)).sum(1)[0]
share = float(v[animal].sum() / v.abs().sum())
""",
        "area": """
animal = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).masks[0] > 0)
share = float(animal.float().mean())
""",
        "mean instead of sum": """
animal = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).masks[0] > 0)
mine = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).images).permute(0, 3, 1, 2) / 127.5 - 1
v = IntegratedGradients(model).attribute(mine, target=model(mine).argmax(1)).sum(1)[0].abs()
share = float(v[animal].mean() / (v[animal].mean() + v[~animal].mean()))
""",
        "channels apart": """
animal = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).masks[0] > 0)
mine = torch.tensor(course_scenes.render("cifar10", 1, 32, cu.student_seed(student), workers=1, progress=False).images).permute(0, 3, 1, 2) / 127.5 - 1
v = IntegratedGradients(model).attribute(mine, target=model(mine).argmax(1)).abs().sum(1)[0]
share = float(v[animal].sum() / v.sum())
""",
        "somebody else's number": "share = 0.4321\n",
    },
}

#: The whole cell of a task; each may earn nothing for that task, and stop nothing else.
CHEATS = {
    "01.1": {
        "library: Captum": """
from captum.attr import Saliency as Library

def saliency(model, images, targets):
    return Library(model).attribute(images.clone().requires_grad_(), target=targets).amax(1)
""",
        "visible answer hard-coded": """
visible = Saliency(model).attribute(images.clone().requires_grad_(), target=targets).amax(1)

def saliency(model, images, targets):
    return visible[: len(images)]
""",
        "allclose replaced": """
import numpy as np
torch.allclose = np.allclose = lambda *a, **k: True
np.abs = lambda x: 0 * np.asarray(x)

def saliency(model, images, targets):
    return torch.zeros(len(images), 32, 32)
""",
        "check replaced": """
import course_utils.exercises
cu.check = course_utils.exercises.check = lambda name, *a, **k: print("✓ " + name) or True

def saliency(model, images, targets):
    return torch.zeros(len(images), 32, 32)
""",
        "sys.exit": "import sys\nsys.exit(0)\n",
        "os._exit": "import os\nos._exit(0)\n",
        "endless": "while True:\n    try:\n        pass\n    except BaseException:\n        pass\n",
        "ten gigabytes": "hog = torch.ones(10 * 2**30 // 4)\n",
        "forks": "import os\nfor _ in range(50):\n    os.fork()\n",
        "reads the grader's files": """
import pathlib
here = pathlib.Path(cu.__file__).resolve().parents[1] / "notebooks" / "assignments" / "source"
text = next(here.glob("01_*/*.ipynb")).read_text()
print(text)
""",
        "prints passed": 'print("✓ saliency of eight pictures\\npassed: 2 of 2 points")\n',
    },
    "01.2": {
        "library: Captum": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    ig = IntegratedGradients(model)
    return ig.attribute(images, baseline, target=targets, n_steps=n_steps, method="riemann_middle")
""",
        "library: the course's": """
def integrated_gradients(model, images, targets, baseline, n_steps):
    return cu.integrated_gradients(model, images, targets, baselines=baseline, n_steps=n_steps).attributions
""",
    },
}
