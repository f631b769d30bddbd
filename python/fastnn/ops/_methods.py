# SPDX-License-Identifier: BSD-3-Clause
"""The operations that are methods of Tensor: one line each.

``exp = ops.exp`` makes ``t.exp()`` of ``fastnn.exp(input)``: a function whose first parameter is
the tensor is a method as it is, with its own signature and docstring. Type checkers see `Methods`
as the base of Tensor. At run time Tensor is defined before the operations, which are written in
terms of it, so the functions are put into it here, once all of them are known.

A function that is called as its file (matmul in ops/matmul.py) is imported under another name: type
checkers take ``ops.matmul`` for the file.
"""

from __future__ import annotations

from types import FunctionType

from fastnn import _dtypes, ops
from fastnn.ops.matmul import matmul as _matmul
from fastnn.ops.softmax import softmax as _softmax
from fastnn.tensor import Tensor


class Methods:
    """What Tensor gets from the operations."""

    # Arithmetic
    __add__, __radd__, __iadd__ = ops.operators(ops.Add, "add")
    __sub__, __rsub__, __isub__ = ops.operators(ops.Sub, "sub")
    __mul__, __rmul__, __imul__ = ops.operators(ops.Mul, "mul")
    __truediv__, __rtruediv__, __itruediv__ = ops.operators(ops.Div, "truediv")
    add = ops.add
    add_ = ops.add_
    div = ops.div
    div_ = ops.div_
    mul = ops.mul
    mul_ = ops.mul_
    neg = __neg__ = ops.neg
    neg_ = ops.neg_
    sub = ops.sub
    sub_ = ops.sub_

    # Comparisons; == and != are in Tensor itself
    eq = ops.eq
    ge = __ge__ = ops.ge
    gt = __gt__ = ops.gt
    le = __le__ = ops.le
    lt = __lt__ = ops.lt
    ne = ops.ne

    # Elementwise functions
    exp = ops.exp
    exp_ = ops.exp_
    log = ops.log
    log_ = ops.log_
    log_softmax = ops.log_softmax
    relu = ops.relu
    relu_ = ops.relu_
    sigmoid = ops.sigmoid
    sigmoid_ = ops.sigmoid_
    softmax = _softmax
    tanh = ops.tanh
    tanh_ = ops.tanh_

    # Products
    matmul = __matmul__ = _matmul
    mm = ops.mm

    # Reductions
    argmax = ops.argmax
    mean = ops.mean
    sum = ops.sum

    # Copies, conversion, filling
    bool = ops.converter("bool", _dtypes.bool_)
    clone = ops.clone
    contiguous = ops.contiguous
    copy_ = ops.copy_
    cpu = ops.converter("cpu", "cpu")
    cuda = ops.converter("cuda", "cuda")
    double = ops.converter("double", _dtypes.float64)
    fill_ = ops.fill_
    float = ops.converter("float", _dtypes.float32)
    half = ops.converter("half", _dtypes.float16)
    int = ops.converter("int", _dtypes.int32)
    long = ops.converter("long", _dtypes.int64)
    normal_ = ops.normal_
    to = ops.to
    type_as = ops.type_as
    uniform_ = ops.uniform_
    zero_ = ops.zero_

    # Shape and indexing
    __getitem__ = ops.getitem
    __setitem__ = ops.setitem
    expand = ops.expand
    flatten = ops.flatten
    index_select = ops.index_select
    permute = ops.permute
    reshape = ops.reshape
    split = ops.split
    squeeze = ops.squeeze
    t = ops.t
    transpose = ops.transpose
    unsqueeze = ops.unsqueeze
    view = ops.view


for _name, _function in vars(Methods).items():
    if isinstance(_function, FunctionType):
        setattr(Tensor, _name, _function)
