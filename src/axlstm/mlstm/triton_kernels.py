"""Define the Triton kernels of `axlstm.mlstm.triton`; importing this needs triton.

Names: a, M and n as in docs/architecture.md; rows i are queries, columns j keys; a row sees the columns up to itself.
For tl.dot, a tensor of DH channels is held as up to five tiles of BD channels (TILES * BD >= DH; channels past DH are
zero). Triton has no lists of tensors, so they travel as five names; those past TILES stand for nothing.

Steps are cut into chunks of CHUNK. Inside a chunk all pairs of steps are visited; what earlier chunks hold comes as
their state, ``states[c] = sum_{j in chunks <= c} exp(log D[e, j] - m[e]) k_j v_j^T`` with e the last step of c, and
``key_sums`` likewise with 1 for v. CHUNK = 0 means one chunk: no state is read. F starts from zero in every chunk, so
that it stays small and its digits count; seen from the next chunk, what lies before has the peak m[e]. Steps past
the last have a = -inf and M = inf, so that their weight is zero. Nothing here adds atomically: equal input gives
equal bits.
"""

import triton
import triton.language as tl


@triton.jit
def _load_tile(base, rows, stride, steps, tile, DH: tl.constexpr, BD: tl.constexpr):
    """Load rows x BD of a (S, DH) matrix; zero outside."""
    channels = tile * BD + tl.arange(0, BD)
    inside = (rows[:, None] < steps) & (channels[None, :] < DH)
    return tl.load(base + rows[:, None].to(tl.int64) * stride + channels[None, :], mask=inside, other=0.0)


@triton.jit
def _load_tiles(base, rows, stride, steps, DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr):
    x0 = _load_tile(base, rows, stride, steps, 0, DH, BD)
    x1, x2, x3, x4 = x0, x0, x0, x0
    if TILES > 1:
        x1 = _load_tile(base, rows, stride, steps, 1, DH, BD)
    if TILES > 2:
        x2 = _load_tile(base, rows, stride, steps, 2, DH, BD)
    if TILES > 3:
        x3 = _load_tile(base, rows, stride, steps, 3, DH, BD)
    if TILES > 4:
        x4 = _load_tile(base, rows, stride, steps, 4, DH, BD)
    return x0, x1, x2, x3, x4


@triton.jit
def _store_tile(base, rows, stride, steps, tile, x, DH: tl.constexpr, BD: tl.constexpr, LIMIT: tl.constexpr):
    """Cast to the type of ``base``, values beyond its range to LIMIT (0: its range is that of x)."""
    channels = tile * BD + tl.arange(0, BD)
    inside = (rows[:, None] < steps) & (channels[None, :] < DH)
    if LIMIT > 0:
        x = tl.minimum(tl.maximum(x, -LIMIT), LIMIT)
    where = base + rows[:, None].to(tl.int64) * stride + channels[None, :]
    tl.store(where, x.to(base.dtype.element_ty), mask=inside)


@triton.jit
def _store_tiles(
    base, rows, stride, steps, x0, x1, x2, x3, x4,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, LIMIT: tl.constexpr,
):  # fmt: skip
    _store_tile(base, rows, stride, steps, 0, x0, DH, BD, LIMIT)
    if TILES > 1:
        _store_tile(base, rows, stride, steps, 1, x1, DH, BD, LIMIT)
    if TILES > 2:
        _store_tile(base, rows, stride, steps, 2, x2, DH, BD, LIMIT)
    if TILES > 3:
        _store_tile(base, rows, stride, steps, 3, x3, DH, BD, LIMIT)
    if TILES > 4:
        _store_tile(base, rows, stride, steps, 4, x4, DH, BD, LIMIT)


@triton.jit
def _inner(x0, x1, x2, x3, x4, y0, y1, y2, y3, y4, TILES: tl.constexpr, PRECISION: tl.constexpr):
    """Compute x y^T over all channels, float32."""
    out = tl.dot(x0, tl.trans(y0), input_precision=PRECISION)
    if TILES > 1:
        out = tl.dot(x1, tl.trans(y1), out, input_precision=PRECISION)
    if TILES > 2:
        out = tl.dot(x2, tl.trans(y2), out, input_precision=PRECISION)
    if TILES > 3:
        out = tl.dot(x3, tl.trans(y3), out, input_precision=PRECISION)
    if TILES > 4:
        out = tl.dot(x4, tl.trans(y4), out, input_precision=PRECISION)
    return out


@triton.jit
def _add_product(
    acc0, acc1, acc2, acc3, acc4, c, y0, y1, y2, y3, y4, TILES: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """Compute acc + c y, tile by tile."""
    acc0 = tl.dot(c, y0, acc0, input_precision=PRECISION)
    if TILES > 1:
        acc1 = tl.dot(c, y1, acc1, input_precision=PRECISION)
    if TILES > 2:
        acc2 = tl.dot(c, y2, acc2, input_precision=PRECISION)
    if TILES > 3:
        acc3 = tl.dot(c, y3, acc3, input_precision=PRECISION)
    if TILES > 4:
        acc4 = tl.dot(c, y4, acc4, input_precision=PRECISION)
    return acc0, acc1, acc2, acc3, acc4


@triton.jit
def _row_dots(x0, x1, x2, x3, x4, y0, y1, y2, y3, y4, TILES: tl.constexpr):
    """Sum over channels of x y, row by row, float32."""
    out = tl.sum(x0.to(tl.float32) * y0.to(tl.float32), axis=1)
    if TILES > 1:
        out += tl.sum(x1.to(tl.float32) * y1.to(tl.float32), axis=1)
    if TILES > 2:
        out += tl.sum(x2.to(tl.float32) * y2.to(tl.float32), axis=1)
    if TILES > 3:
        out += tl.sum(x3.to(tl.float32) * y3.to(tl.float32), axis=1)
    if TILES > 4:
        out += tl.sum(x4.to(tl.float32) * y4.to(tl.float32), axis=1)
    return out


@triton.jit
def _state_tile(state, across, down, TURNED: tl.constexpr, DH: tl.constexpr, BD: tl.constexpr):
    """Load tile (down, across) of a (DH, DH) state, or with TURNED the transpose of tile (across, down)."""
    channels = tl.arange(0, BD)
    if TURNED:
        tile = tl.trans(_load_tile(state, across * BD + channels, DH, DH, down, DH, BD))
    else:
        tile = _load_tile(state, down * BD + channels, DH, DH, across, DH, BD)
    return tile


@triton.jit
def _times_state_tile(
    x0, x1, x2, x3, x4, state, across,
    TURNED: tl.constexpr, DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute tile ``across`` of x state (TURNED: of x state^T), float32."""
    out = tl.dot(x0, _state_tile(state, across, 0, TURNED, DH, BD), input_precision=PRECISION)
    if TILES > 1:
        out = tl.dot(x1, _state_tile(state, across, 1, TURNED, DH, BD), out, input_precision=PRECISION)
    if TILES > 2:
        out = tl.dot(x2, _state_tile(state, across, 2, TURNED, DH, BD), out, input_precision=PRECISION)
    if TILES > 3:
        out = tl.dot(x3, _state_tile(state, across, 3, TURNED, DH, BD), out, input_precision=PRECISION)
    if TILES > 4:
        out = tl.dot(x4, _state_tile(state, across, 4, TURNED, DH, BD), out, input_precision=PRECISION)
    return out


@triton.jit
def _times_state(
    x0, x1, x2, x3, x4, state,
    TURNED: tl.constexpr, DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute all tiles of x state (TURNED: of x state^T), float32."""
    y0 = _times_state_tile(x0, x1, x2, x3, x4, state, 0, TURNED, DH, BD, TILES, PRECISION)
    y1, y2, y3, y4 = y0, y0, y0, y0
    if TILES > 1:
        y1 = _times_state_tile(x0, x1, x2, x3, x4, state, 1, TURNED, DH, BD, TILES, PRECISION)
    if TILES > 2:
        y2 = _times_state_tile(x0, x1, x2, x3, x4, state, 2, TURNED, DH, BD, TILES, PRECISION)
    if TILES > 3:
        y3 = _times_state_tile(x0, x1, x2, x3, x4, state, 3, TURNED, DH, BD, TILES, PRECISION)
    if TILES > 4:
        y4 = _times_state_tile(x0, x1, x2, x3, x4, state, 4, TURNED, DH, BD, TILES, PRECISION)
    return y0, y1, y2, y3, y4


@triton.jit
def _vector_tile(base, tile, DH: tl.constexpr, BD: tl.constexpr):
    """Load BD of DH numbers, as a row (1, BD)."""
    channels = tile * BD + tl.arange(0, BD)
    return tl.load(base + channels, mask=channels < DH, other=0.0)[None, :]


@triton.jit
def _vector_tiles(base, DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr):
    x0 = _vector_tile(base, 0, DH, BD)
    x1, x2, x3, x4 = x0, x0, x0, x0
    if TILES > 1:
        x1 = _vector_tile(base, 1, DH, BD)
    if TILES > 2:
        x2 = _vector_tile(base, 2, DH, BD)
    if TILES > 3:
        x3 = _vector_tile(base, 3, DH, BD)
    if TILES > 4:
        x4 = _vector_tile(base, 4, DH, BD)
    return x0, x1, x2, x3, x4


@triton.jit
def _zeros(ROWS: tl.constexpr, BD: tl.constexpr):
    x = tl.zeros([ROWS, BD], dtype=tl.float32)
    return x, x, x, x, x


@triton.jit
def _scaled(x0, x1, x2, x3, x4, by, TILES: tl.constexpr):
    x0 *= by
    if TILES > 1:
        x1 *= by
    if TILES > 2:
        x2 *= by
    if TILES > 3:
        x3 *= by
    if TILES > 4:
        x4 *= by
    return x0, x1, x2, x3, x4


@triton.jit
def _blended(x0, x1, x2, x3, x4, x_by, y0, y1, y2, y3, y4, y_by, TILES: tl.constexpr):
    """Compute x x_by + y y_by, tile by tile."""
    x0 = x0 * x_by + y0 * y_by
    if TILES > 1:
        x1 = x1 * x_by + y1 * y_by
    if TILES > 2:
        x2 = x2 * x_by + y2 * y_by
    if TILES > 3:
        x3 = x3 * x_by + y3 * y_by
    if TILES > 4:
        x4 = x4 * x_by + y4 * y_by
    return x0, x1, x2, x3, x4


@triton.jit
def _head_offset(head, heads, stride_b, stride_h):
    """Find where a head of a (B, H, S, DH) tensor begins; head counts over B and H."""
    return (head // heads).to(tl.int64) * stride_b + (head % heads).to(tl.int64) * stride_h


@triton.jit
def gates_forward(igate, log_f, a, peak, log_peak, first, steps, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    """Write a = igate - F, its running maximum M, m = F + M, and the first index that reaches M; F = cumsum(log_f).

    All (B H, S), one head a program. Sums and maxima are taken over masked squares: no scan primitives.
    """
    base = tl.program_id(0).to(tl.int64) * steps
    local = tl.arange(0, BLOCK)
    past = local[None, :] <= local[:, None]  # (i, j)
    f_before = tl.zeros([1], dtype=tl.float32)
    peak_before = tl.full([1], -float("inf"), dtype=tl.float32)
    first_before = tl.zeros([1], dtype=tl.int32)
    for start in range(0, steps, BLOCK):
        if CHUNK > 0:
            new_chunk = start % CHUNK == 0
            peak_before = tl.where(new_chunk, f_before + peak_before, peak_before)
            f_before = tl.where(new_chunk, 0.0, f_before)
        at = start + local
        inside = at < steps
        f_now = tl.load(log_f + base + at, mask=inside, other=0.0)
        f_sum = f_before + tl.sum(tl.where(past, f_now[None, :], 0.0), axis=1)
        a_now = tl.load(igate + base + at, mask=inside, other=-float("inf")) - f_sum
        within = tl.max(tl.where(past, a_now[None, :], -float("inf")), axis=1)
        reaches = past & (a_now[None, :] == within[:, None])
        first_within = tl.min(tl.where(reaches, at[None, :], 2147483647), axis=1)
        rises = within > peak_before  # of equal maxima the earlier one stays
        peak_now = tl.where(rises, within, peak_before)
        first_now = tl.where(rises, first_within, first_before)
        tl.store(a + base + at, a_now, mask=inside)
        tl.store(peak + base + at, peak_now, mask=inside)
        tl.store(log_peak + base + at, f_sum + peak_now, mask=inside)
        tl.store(first + base + at, first_now, mask=inside)
        # The values of the last step go on to the next block.
        last = local == BLOCK - 1
        f_before = tl.sum(tl.where(last, f_sum, 0.0), axis=0, keep_dims=True)
        peak_before = tl.max(tl.where(last, peak_now, -float("inf")), axis=0, keep_dims=True)
        first_before = tl.max(tl.where(last, first_now, 0), axis=0, keep_dims=True)


@triton.jit
def gates_backward(d_columns, d_peak, d_f_rows, first, d_igate, d_log_f, steps, BLOCK: tl.constexpr):
    """Write gradients of igate and log_f from those of a (as a column), M and F (as a row); all (B H, S).

    M[i] hands its gradient to the first index that reaches it. That index never falls as i grows, so going
    backwards one pending sum is enough: of rows whose index lies before the blocks seen so far.
    """
    base = tl.program_id(0).to(tl.int64) * steps
    local = tl.arange(0, BLOCK)
    future = local[None, :] >= local[:, None]
    pending = tl.zeros([1], dtype=tl.float32)
    f_after = tl.zeros([1], dtype=tl.float32)
    blocks = tl.cdiv(steps, BLOCK)
    for number in range(0, blocks):
        start = (blocks - 1 - number) * BLOCK
        at = start + local
        inside = at < steps
        target = tl.load(first + base + at, mask=inside, other=-1)
        d_peak_now = tl.load(d_peak + base + at, mask=inside, other=0.0)
        d_a = tl.load(d_columns + base + at, mask=inside, other=0.0)
        d_a += tl.sum(tl.where(target[None, :] == at[:, None], d_peak_now[None, :], 0.0), axis=1)
        # What is pending belongs to the index that the last row of this block points to.
        owner = tl.max(target, axis=0, keep_dims=True)
        d_a += tl.where(at == owner, pending, 0.0)
        earlier = inside & (target < start)
        pending = tl.where(owner < start, pending, 0.0)
        pending += tl.sum(tl.where(earlier, d_peak_now, 0.0), axis=0, keep_dims=True)
        d_f = tl.load(d_f_rows + base + at, mask=inside, other=0.0) - d_a
        d_log = f_after + tl.sum(tl.where(future, d_f[None, :], 0.0), axis=1)
        f_after = tl.sum(tl.where(local == 0, d_log, 0.0), axis=0, keep_dims=True)
        tl.store(d_igate + base + at, d_a, mask=inside)
        tl.store(d_log_f + base + at, d_log, mask=inside)


@triton.jit
def states_forward(
    k, v, a, peak, states, key_sums, heads, stride_b, stride_h, stride_s, steps,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Write each chunk's states (B H, chunks - 1, DH, DH) and key_sums (B H, chunks - 1, DH), but the last's; a program
    makes one tile of one chunk."""
    head, chunk = tl.program_id(0), tl.program_id(1)
    down, across = tl.program_id(2) // TILES, tl.program_id(2) % TILES
    begin = _head_offset(head, heads, stride_b, stride_h)
    row = head.to(tl.int64) * steps
    state = tl.zeros([BD, BD], dtype=tl.float32)
    key_sum = tl.zeros([BD], dtype=tl.float32)
    end_peak = tl.load(peak + row + (chunk + 1) * CHUNK - 1)
    for offset in range(0, CHUNK, BLOCK):
        columns = chunk * CHUNK + offset + tl.arange(0, BLOCK)
        weight = tl.exp(tl.load(a + row + columns) - end_peak)
        key = _load_tile(k + begin, columns, stride_s, steps, down, DH, BD).to(tl.float32) * weight[:, None]
        value = _load_tile(v + begin, columns, stride_s, steps, across, DH, BD)
        state = tl.dot(tl.trans(key.to(value.dtype)), value, state, input_precision=PRECISION)
        key_sum += tl.sum(key, axis=0)
    slot = head.to(tl.int64) * tl.num_programs(1) + chunk
    _store_state(states, key_sums, slot, down, across, state, key_sum, DH, BD)


@triton.jit
def _store_state(states, sums, slot, down, across, state, total, DH: tl.constexpr, BD: tl.constexpr):
    channels = down * BD + tl.arange(0, BD)
    _store_tile(states + slot * DH * DH, channels, DH, DH, across, state, DH, BD, 0)
    if across == 0:
        tl.store(sums + slot * DH + channels, total, mask=channels < DH)


@triton.jit
def carry_states(
    x, peak, log_peak, steps, numbers, chunks_kept,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """Add to each chunk's part what comes from the chunks before it (BACKWARD: after it), in place.

    x is (B H, chunks - 1, numbers): states or their sums. From chunk d to d + 1 they decay by exp(m - M), with m of
    the last step of d and M of that of d + 1.
    """
    head = tl.program_id(0).to(tl.int64)
    row = head * steps
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < numbers
    carried = tl.zeros([BLOCK], dtype=tl.float32)
    for number in range(0, chunks_kept):
        if BACKWARD:
            chunk = chunks_kept - 1 - number
            end = (chunk + 1) * CHUNK - 1
        else:
            chunk = number
            end = chunk * CHUNK - 1
        crosses = (end >= 0) & (end + CHUNK < steps)
        decay = tl.exp(
            tl.load(log_peak + row + end, mask=crosses, other=0.0)
            - tl.load(peak + row + end + CHUNK, mask=crosses, other=float("inf"))
        )
        where = x + (head * chunks_kept + chunk) * numbers + at
        carried = carried * decay + tl.load(where, mask=inside, other=0.0).to(tl.float32)
        tl.store(where, carried.to(x.dtype.element_ty), mask=inside)


@triton.jit
def rows_forward(
    q, k, v, a, peak, log_peak, states, key_sums, h, normaliser, slope,
    scale, heads, stride_b, stride_h, stride_s, steps,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, PRECISION: tl.constexpr, LIMIT: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Write h of ROWS steps, their normaliser n, and d max(|total|, exp(-m)) / d total (1, 0 or 1/2, signed)."""
    head = tl.program_id(0)
    begin = _head_offset(head, heads, stride_b, stride_h)
    row = head.to(tl.int64) * steps
    first_row = tl.program_id(1) * ROWS
    rows = first_row + tl.arange(0, ROWS)
    inside = rows < steps
    highest = tl.load(peak + row + rows, mask=inside, other=float("inf"))  # M
    q0, q1, q2, q3, q4 = _load_tiles(q + begin, rows, stride_s, steps, DH, BD, TILES)
    acc0, acc1, acc2, acc3, acc4 = _zeros(ROWS, BD)
    total = tl.zeros([ROWS], dtype=tl.float32)
    chunk_start = 0
    if CHUNK > 0:
        chunk = first_row // CHUNK
        chunk_start = chunk * CHUNK
        if chunk > 0:
            slot = head.to(tl.int64) * (tl.cdiv(steps, CHUNK) - 1) + chunk - 1
            carried = tl.exp(tl.load(log_peak + row + chunk_start - 1) - highest) * scale
            acc0, acc1, acc2, acc3, acc4 = _times_state(
                q0, q1, q2, q3, q4, states + slot * DH * DH, False, DH, BD, TILES, PRECISION
            )
            acc0, acc1, acc2, acc3, acc4 = _scaled(acc0, acc1, acc2, acc3, acc4, carried[:, None], TILES)
            n0, n1, n2, n3, n4 = _vector_tiles(key_sums + slot * DH, DH, BD, TILES)
            total = carried * _row_dots(q0, q1, q2, q3, q4, n0, n1, n2, n3, n4, TILES)
    for start in range(chunk_start, tl.minimum(first_row + ROWS, steps), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        k0, k1, k2, k3, k4 = _load_tiles(k + begin, columns, stride_s, steps, DH, BD, TILES)
        v0, v1, v2, v3, v4 = _load_tiles(v + begin, columns, stride_s, steps, DH, BD, TILES)
        log_weight = tl.load(a + row + columns, mask=columns < steps, other=-float("inf"))
        decay = tl.exp(
            tl.where(columns[None, :] <= rows[:, None], log_weight[None, :] - highest[:, None], -float("inf"))
        )
        c = _inner(q0, q1, q2, q3, q4, k0, k1, k2, k3, k4, TILES, PRECISION) * decay * scale
        total += tl.sum(c, axis=1)
        acc0, acc1, acc2, acc3, acc4 = _add_product(
            acc0, acc1, acc2, acc3, acc4, c.to(v0.dtype), v0, v1, v2, v3, v4, TILES, PRECISION
        )
    floor = tl.exp(-tl.load(log_peak + row + rows, mask=inside, other=0.0))
    size = tl.abs(total)
    n = tl.maximum(size, floor) + EPS
    sign = tl.where(total > 0, 1.0, tl.where(total < 0, -1.0, 0.0))
    tl.store(normaliser + row + rows, n, mask=inside)
    tl.store(slope + row + rows, tl.where(size > floor, sign, tl.where(size == floor, 0.5 * sign, 0.0)), mask=inside)
    share = 1 / n[:, None]
    acc0, acc1, acc2, acc3, acc4 = _scaled(acc0, acc1, acc2, acc3, acc4, share, TILES)
    _store_tiles(h + begin, rows, stride_s, steps, acc0, acc1, acc2, acc3, acc4, DH, BD, TILES, LIMIT)


@triton.jit
def rows_backward(
    q, k, v, h, d_h, a, peak, log_peak, normaliser, slope, states, key_sums, d_q, d_total, d_peak, d_f_rows,
    scale, heads, stride_b, stride_h, stride_s, steps,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, PRECISION: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """Write what belongs to a row: gradients of q, of the total, of M and of F in exp(-m).

    With r = d_h . h, the decays' and the normaliser's parts of the gradient of M cancel up to the 1e-6 in n:
    -r 1e-6 / n is left. F as a row gets what its columns (in a) and M get together, q . d_q more: taken from the
    rounded d_q, the parts of one row sum to zero, and rounding does not add up along the sequence.
    """
    head = tl.program_id(0)
    begin = _head_offset(head, heads, stride_b, stride_h)
    row = head.to(tl.int64) * steps
    first_row = tl.program_id(1) * ROWS
    rows = first_row + tl.arange(0, ROWS)
    inside = rows < steps
    highest = tl.load(peak + row + rows, mask=inside, other=float("inf"))  # M
    share = 1 / tl.load(normaliser + row + rows, mask=inside, other=1.0)
    slant = tl.load(slope + row + rows, mask=inside, other=0.0)
    g0, g1, g2, g3, g4 = _load_tiles(d_h + begin, rows, stride_s, steps, DH, BD, TILES)
    h0, h1, h2, h3, h4 = _load_tiles(h + begin, rows, stride_s, steps, DH, BD, TILES)
    r = _row_dots(g0, g1, g2, g3, g4, h0, h1, h2, h3, h4, TILES)
    d_sum = -slant * r * share
    tl.store(d_total + row + rows, d_sum, mask=inside)
    tl.store(d_peak + row + rows, -r * EPS * share, mask=inside)
    acc0, acc1, acc2, acc3, acc4 = _zeros(ROWS, BD)
    chunk_start = 0
    if CHUNK > 0:
        chunk = first_row // CHUNK
        chunk_start = chunk * CHUNK
        if chunk > 0:
            slot = head.to(tl.int64) * (tl.cdiv(steps, CHUNK) - 1) + chunk - 1
            carried = tl.exp(tl.load(log_peak + row + chunk_start - 1) - highest)
            acc0, acc1, acc2, acc3, acc4 = _times_state(
                g0, g1, g2, g3, g4, states + slot * DH * DH, True, DH, BD, TILES, PRECISION
            )
            n0, n1, n2, n3, n4 = _vector_tiles(key_sums + slot * DH, DH, BD, TILES)
            of_state, of_sum = (carried * share)[:, None], (carried * d_sum)[:, None]
            acc0, acc1, acc2, acc3, acc4 = _blended(
                acc0, acc1, acc2, acc3, acc4, of_state, n0, n1, n2, n3, n4, of_sum, TILES
            )
    for start in range(chunk_start, tl.minimum(first_row + ROWS, steps), COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        k0, k1, k2, k3, k4 = _load_tiles(k + begin, columns, stride_s, steps, DH, BD, TILES)
        v0, v1, v2, v3, v4 = _load_tiles(v + begin, columns, stride_s, steps, DH, BD, TILES)
        log_weight = tl.load(a + row + columns, mask=columns < steps, other=-float("inf"))
        decay = tl.exp(
            tl.where(columns[None, :] <= rows[:, None], log_weight[None, :] - highest[:, None], -float("inf"))
        )
        d_c = _inner(g0, g1, g2, g3, g4, v0, v1, v2, v3, v4, TILES, PRECISION) * share[:, None] + d_sum[:, None]
        d_scores = (d_c * decay).to(k0.dtype)
        acc0, acc1, acc2, acc3, acc4 = _add_product(
            acc0, acc1, acc2, acc3, acc4, d_scores, k0, k1, k2, k3, k4, TILES, PRECISION
        )
    acc0, acc1, acc2, acc3, acc4 = _scaled(acc0, acc1, acc2, acc3, acc4, scale, TILES)
    q0, q1, q2, q3, q4 = _load_tiles(q + begin, rows, stride_s, steps, DH, BD, TILES)
    d_f = _row_dots(q0, q1, q2, q3, q4, acc0, acc1, acc2, acc3, acc4, TILES) - r * EPS * share
    tl.store(d_f_rows + row + rows, d_f, mask=inside)
    _store_tiles(d_q + begin, rows, stride_s, steps, acc0, acc1, acc2, acc3, acc4, DH, BD, TILES, 0)


@triton.jit
def states_backward(
    q, d_h, peak, log_peak, normaliser, d_total, states, query_sums, heads, stride_b, stride_h, stride_s, steps,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Sum what the columns up to e, the last step of chunk c, need of the rows of chunk c + 1:

    states[c] = sum_{i in c + 1} exp(F[i] - F[e] + m[e] - m[i]) q_i d_h_i^T / n[i], and query_sums[c] with d_total[i]
    for d_h_i / n[i]. Shapes and programs as in `states_forward`.
    """
    head, chunk = tl.program_id(0), tl.program_id(1)
    down, across = tl.program_id(2) // TILES, tl.program_id(2) % TILES
    begin = _head_offset(head, heads, stride_b, stride_h)
    row = head.to(tl.int64) * steps
    state = tl.zeros([BD, BD], dtype=tl.float32)
    query_sum = tl.zeros([BD], dtype=tl.float32)
    end_peak = tl.load(log_peak + row + (chunk + 1) * CHUNK - 1)
    for offset in range(0, CHUNK, BLOCK):
        rows = (chunk + 1) * CHUNK + offset + tl.arange(0, BLOCK)
        inside = rows < steps
        weight = tl.exp(end_peak - tl.load(peak + row + rows, mask=inside, other=float("inf")))
        share = weight / tl.load(normaliser + row + rows, mask=inside, other=1.0)
        query = _load_tile(q + begin, rows, stride_s, steps, down, DH, BD)
        upstream = _load_tile(d_h + begin, rows, stride_s, steps, across, DH, BD)
        shared = (upstream.to(tl.float32) * share[:, None]).to(query.dtype)
        state = tl.dot(tl.trans(query), shared, state, input_precision=PRECISION)
        weight *= tl.load(d_total + row + rows, mask=inside, other=0.0)
        query_sum += tl.sum(query.to(tl.float32) * weight[:, None], axis=0)
    slot = head.to(tl.int64) * tl.num_programs(1) + chunk
    _store_state(states, query_sums, slot, down, across, state, query_sum, DH, BD)


@triton.jit
def columns_backward(
    q, k, v, d_h, a, peak, normaliser, d_total, states, query_sums, d_k, d_v, d_columns,
    scale, heads, stride_b, stride_h, stride_s, steps,
    DH: tl.constexpr, BD: tl.constexpr, TILES: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHUNK: tl.constexpr, PRECISION: tl.constexpr, KEYS: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    """Write what belongs to a column: gradients of k and of a (KEYS), of v (VALUES). That of a is k . d_k."""
    head = tl.program_id(0)
    begin = _head_offset(head, heads, stride_b, stride_h)
    row = head.to(tl.int64) * steps
    first_column = tl.program_id(1) * COLUMNS
    columns = first_column + tl.arange(0, COLUMNS)
    inside = columns < steps
    log_weight = tl.load(a + row + columns, mask=inside, other=-float("inf"))
    if KEYS:
        v0, v1, v2, v3, v4 = _load_tiles(v + begin, columns, stride_s, steps, DH, BD, TILES)
        dk0, dk1, dk2, dk3, dk4 = _zeros(COLUMNS, BD)
    if VALUES:
        k0, k1, k2, k3, k4 = _load_tiles(k + begin, columns, stride_s, steps, DH, BD, TILES)
        dv0, dv1, dv2, dv3, dv4 = _zeros(COLUMNS, BD)
    chunk_end = steps
    if CHUNK > 0:
        chunk = first_column // CHUNK
        chunk_end = tl.minimum((chunk + 1) * CHUNK, steps)
        kept_chunks = tl.cdiv(steps, CHUNK) - 1
        if chunk < kept_chunks:
            slot = head.to(tl.int64) * kept_chunks + chunk
            state = states + slot * DH * DH
            carried = tl.exp(log_weight - tl.load(peak + row + chunk_end - 1))[:, None]
            if KEYS:
                dk0, dk1, dk2, dk3, dk4 = _times_state(v0, v1, v2, v3, v4, state, True, DH, BD, TILES, PRECISION)
                n0, n1, n2, n3, n4 = _vector_tiles(query_sums + slot * DH, DH, BD, TILES)
                dk0, dk1, dk2, dk3, dk4 = _blended(dk0, dk1, dk2, dk3, dk4, carried, n0, n1, n2, n3, n4, carried, TILES)
            if VALUES:
                dv0, dv1, dv2, dv3, dv4 = _times_state(k0, k1, k2, k3, k4, state, False, DH, BD, TILES, PRECISION)
                dv0, dv1, dv2, dv3, dv4 = _scaled(dv0, dv1, dv2, dv3, dv4, carried * scale, TILES)
    for start in range((first_column // ROWS) * ROWS, chunk_end, ROWS):
        rows = start + tl.arange(0, ROWS)
        within = rows < chunk_end
        q0, q1, q2, q3, q4 = _load_tiles(q + begin, rows, stride_s, steps, DH, BD, TILES)
        g0, g1, g2, g3, g4 = _load_tiles(d_h + begin, rows, stride_s, steps, DH, BD, TILES)
        highest = tl.load(peak + row + rows, mask=within, other=float("inf"))
        share = 1 / tl.load(normaliser + row + rows, mask=within, other=1.0)
        decay = tl.exp(
            tl.where(columns[:, None] <= rows[None, :], log_weight[:, None] - highest[None, :], -float("inf"))
        )
        if VALUES:
            c = _inner(k0, k1, k2, k3, k4, q0, q1, q2, q3, q4, TILES, PRECISION) * decay * (scale * share)[None, :]
            dv0, dv1, dv2, dv3, dv4 = _add_product(
                dv0, dv1, dv2, dv3, dv4, c.to(g0.dtype), g0, g1, g2, g3, g4, TILES, PRECISION
            )
        if KEYS:
            d_sum = tl.load(d_total + row + rows, mask=within, other=0.0)
            d_c = _inner(v0, v1, v2, v3, v4, g0, g1, g2, g3, g4, TILES, PRECISION) * share[None, :] + d_sum[None, :]
            d_scores = (d_c * decay).to(q0.dtype)
            dk0, dk1, dk2, dk3, dk4 = _add_product(
                dk0, dk1, dk2, dk3, dk4, d_scores, q0, q1, q2, q3, q4, TILES, PRECISION
            )
    if VALUES:
        _store_tiles(d_v + begin, columns, stride_s, steps, dv0, dv1, dv2, dv3, dv4, DH, BD, TILES, 0)
    if KEYS:
        dk0, dk1, dk2, dk3, dk4 = _scaled(dk0, dk1, dk2, dk3, dk4, scale, TILES)
        k0, k1, k2, k3, k4 = _load_tiles(k + begin, columns, stride_s, steps, DH, BD, TILES)
        d_a = _row_dots(k0, k1, k2, k3, k4, dk0, dk1, dk2, dk3, dk4, TILES)
        tl.store(d_columns + row + columns, d_a, mask=inside)
        _store_tiles(d_k + begin, columns, stride_s, steps, dk0, dk1, dk2, dk3, dk4, DH, BD, TILES, 0)
