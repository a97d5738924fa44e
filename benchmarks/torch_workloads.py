"""The workloads as PyTorch users write them: a module, its loss and optimizer, and the data as tensors (channels first).

Losses take logits, and weights start as PyTorch's do; sizes, optimizers and data are those of ``workloads.py``.
"""

import torch
import torch.nn.functional as F
from torch import nn, optim
from workloads import RESNET_BLOCKS, VOCABULARY, classes, digits, noise, texts


def mlp(samples=60000, batch=128, width=512, depth=1):
    x, y = digits(samples)
    model = _dense(784, width, depth)
    return model, F.cross_entropy, optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9), x.reshape(-1, 784), y, batch


def bigmlp(samples=16384, batch=256, width=2048, depth=3):
    model = _dense(1024, width, depth)
    return model, F.cross_entropy, optim.Adam(model.parameters()), noise(samples, 1024), classes(samples, 10), batch


def _dense(inputs, width, depth):
    modules = [nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(depth - 1):
        modules += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*modules, nn.Linear(width, 10))


def tiny(samples=8192, batch=32):
    x = noise(samples, 8)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    return model, F.mse_loss, optim.SGD(model.parameters(), lr=0.01), x, 2 * x[:, :1] + 1, batch


def cnn(samples=60000, batch=128):
    x, y = digits(samples)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10),
    )  # fmt: skip
    return model, F.cross_entropy, optim.Adam(model.parameters()), x[:, None], y, batch


class Block(nn.Module):
    def __init__(self, channels, filters, stride):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters),
        )  # fmt: skip
        self.shortcut = nn.Conv2d(channels, filters, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.shortcut(x) + self.branch(x))


def resnet(samples=2048, batch=64):
    modules, channels = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for filters, stride in RESNET_BLOCKS:
        modules.append(Block(channels, filters, stride))
        channels = filters
    model = nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    sgd = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, F.cross_entropy, sgd, noise(samples, 3, 32, 32), classes(samples, 10), batch


class SentimentLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 128)
        self.lstm = nn.LSTM(128, 64, batch_first=True)
        self.head = nn.Linear(64, 1)

    def forward(self, tokens):
        _, (h, _) = self.lstm(self.embedding(tokens))
        return self.head(h[-1])


def lstm(samples=4096, batch=32, length=100):
    model, y = SentimentLSTM(), classes(samples, 2).astype("float32")[:, None]
    return model, F.binary_cross_entropy_with_logits, optim.Adam(model.parameters()), texts(samples, length), y, batch


class TransformerBlock(nn.Module):
    def __init__(self, width=32, heads=2):
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.queries, self.keys, self.values = (nn.Linear(width, heads * width) for _ in range(3))
        self.attended = nn.Linear(heads * width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, width))
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, 20), nn.ReLU(), nn.Linear(20, 2))

    def forward(self, tokens):
        x = self.embedding(tokens)
        query, key, value = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.attended(attended))
        x = self.norm2(x + self.feed_forward(x))
        return self.head(x.mean(dim=1))


def transformer(samples=4096, batch=32, length=200):
    model = TransformerBlock()
    return model, F.cross_entropy, optim.Adam(model.parameters()), texts(samples, length), classes(samples, 2), batch


def fit(model, loss_function, optimizer, x, y, batch, steps):
    """Train for so many steps, shuffled anew in each epoch, with the loss and the hits added up as Keras's metrics do."""
    made, total, hits = 0, torch.zeros((), device=x.device), torch.zeros((), device=x.device)
    while made < steps:
        for index in torch.randperm(len(x) // batch * batch, device=x.device).split(batch)[: steps - made]:
            inputs, targets = x[index], y[index]
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = loss_function(outputs, targets)
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                total += loss * len(inputs)
                if loss_function is not F.mse_loss:
                    hits += ((outputs > 0) == targets if outputs.shape == targets.shape else outputs.argmax(-1) == targets).sum()
            made += 1
    return made


def built(name, **sizes):
    """A workload with its data as tensors."""
    torch.manual_seed(0)
    model, loss, optimizer, x, y, batch = globals()[name](**sizes)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    return model.train(), loss, optimizer, x, y.long() if loss is F.cross_entropy else y, batch
