/* The explorer: one patch, its attention, live.
 *
 * One classic script without dependencies, so that a page opened from disk can use it (modules, fetch and workers fail
 * there). `ProxyCLIPExplorer.render({model, el})` draws an explorer into an element; `model` holds scenes as
 * proxyclip/explorer/export.py writes them. The arithmetic is that of the package: similarities of a window, a threshold,
 * a softmax over what is kept, averaged values, cosines with the words, overlapping windows averaged, labels.
 * The functions of the first four sections know nothing of the page and run under node, where the tests compare them
 * with PyTorch.
 */
(function (global) {
  'use strict';

  // ------------------------------------------------------------------------------------------------------------ data

  /** Bytes of a base64 text that holds a zlib stream. */
  async function inflate(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** Numbers as proxyclip/explorer/encoding.py packs them: multiples of a step, zigzag, one plane for each byte. */
  async function numbers(packed) {
    const bytes = await inflate(packed.data);
    const count = packed.shape.reduce((product, side) => product * side, 1);
    const values = new Float32Array(count);
    const planes = count ? bytes.length / count : 0;
    for (let i = 0; i < count; i++) {
      let level = 0;
      for (let plane = planes - 1; plane >= 0; plane--) level = (level << 8) | bytes[plane * count + i];
      values[i] = ((level >>> 1) ^ -(level & 1)) * packed.step;
    }
    return values;
  }

  /** (channels, windows, tokens), each channel times its length -> one (tokens, channels) matrix for each window, rows of
   *  unit length. */
  function unitRows(values, [channels, windows, tokens], lengths) {
    return Array.from({ length: windows }, (_, window) => {
      const rows = new Float32Array(tokens * channels);
      for (let token = 0; token < tokens; token++) {
        let square = 0;
        for (let channel = 0; channel < channels; channel++) {
          const value = values[(channel * windows + window) * tokens + token] / lengths[channel];
          rows[token * channels + channel] = value;
          square += value * value;
        }
        const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
        for (let channel = 0; channel < channels; channel++) rows[token * channels + channel] *= scale;
      }
      return rows;
    });
  }

  /** Where similarities come from: a foundation model's features, or the cosines of CLIP's queries and keys. */
  async function decodeSource(packed) {
    const [height, width] = packed.grid;
    const source = {
      key: packed.key, label: packed.label, error: packed.error, means: packed.means,
      height, width, count: height * width, cache: new Array(packed.means.length), largest: new Array(packed.means.length),
    };
    if (packed.features) {
      source.rows = unitRows(await numbers(packed.features), packed.features.shape, packed.lengths);
      source.channels = packed.features.shape[0];
    } else {
      source.cosines = await numbers(packed.cosines);
      source.symmetric = packed.symmetric;
    }
    return source;
  }

  /** The readout of CLIP's last block, folded: what a weighted mean of the patches needs to become logits. */
  async function decodeReadout(packed) {
    if (!packed) return null;
    const { rank, queries, patches, windows } = packed;
    const [loads, words, shifts, lengths] = await Promise.all(
      [packed.loads, packed.words, packed.shift, packed.lengths].map(numbers));
    const scale = Float32Array.from(packed.scale);
    const decoded = [];
    for (let window = 0; window < windows; window++) {
      const spread = scale.subarray(window * rank, (window + 1) * rank);
      const load = new Float32Array(patches * rank), word = new Float32Array(rank * queries);
      const gram = new Float32Array(rank * rank), shift = new Float32Array(rank);
      for (let patch = 0; patch < patches; patch++)
        for (let r = 0; r < rank; r++) load[patch * rank + r] = loads[(r * windows + window) * patches + patch];
      for (let r = 0; r < rank; r++) {
        const undo = spread[r] > 0 ? 1 / spread[r] : 0;
        for (let q = 0; q < queries; q++) word[r * queries + q] = words[(r * windows + window) * queries + q] * undo;
        shift[r] = shifts[r * windows + window] * undo;
      }
      const triangle = (rank * (rank + 1)) / 2;
      for (let r = 0, at = 0; r < rank; r++)
        for (let s = 0; s <= r; s++, at++) {
          const both = spread[r] * spread[s];
          const value = both > 0 ? lengths[window * triangle + at] / both : 0;
          gram[r * rank + s] = gram[s * rank + r] = value;
        }
      decoded.push({ load, word, gram, shift });
    }
    return { ...packed, windows: decoded };
  }

  /** A scene, ready to be computed with. */
  async function decode(packed) {
    const sources = await Promise.all(packed.sources.map(decodeSource));
    const readout = await decodeReadout(packed.readout);
    let truth = null;
    if (packed.truth) truth = Int16Array.from(await numbers(packed.truth));
    const { windows: lay, size } = packed;
    const axes = sources.map((source) => ({
      vertical: axisWeights(lay.tops, lay.height, lay.padding[2], lay.padding[3], source.height, lay.working[0], size[0]),
      horizontal: axisWeights(lay.lefts, lay.width, lay.padding[0], lay.padding[1], source.width, lay.working[1], size[1]),
    }));
    return { ...packed, sources, readout, truth, axes, lay };
  }

  // --------------------------------------------------------------------------------------------------------- geometry

  /** Where linear interpolation (align_corners=False) of `from` cells to `to` cells reads: index, next index, fraction. */
  function interpolation(from, to) {
    const low = new Int32Array(to), high = new Int32Array(to), fraction = new Float32Array(to);
    for (let i = 0; i < to; i++) {
      const place = Math.max(0, ((i + 0.5) * from) / to - 0.5);
      low[i] = Math.min(from - 1, Math.floor(place));
      high[i] = Math.min(from - 1, low[i] + 1);
      fraction[i] = place - low[i];
    }
    return { low, high, fraction };
  }

  /** The sparse rows of proxyclip's `axis_matrix`: patches of all windows along one axis -> pixels of the image. */
  function axisWeights(starts, length, before, after, cells, working, final) {
    const window = interpolation(cells, before + length + after);
    const rows = Array.from({ length: working }, () => new Map());
    const add = (row, index, weight) => weight && row.set(index, (row.get(index) || 0) + weight);
    starts.forEach((start, number) => {
      for (let i = 0; i < length; i++) {
        const at = i + before;
        add(rows[start + i], number * cells + window.low[at], 1 - window.fraction[at]);
        add(rows[start + i], number * cells + window.high[at], window.fraction[at]);
      }
    });
    const resize = interpolation(working, final);
    const out = { start: [0], index: [], weight: [] };
    for (let i = 0; i < final; i++) {
      const mixed = new Map();
      for (const [row, share] of [[rows[resize.low[i]], 1 - resize.fraction[i]], [rows[resize.high[i]], resize.fraction[i]]]) {
        let sum = 0;
        for (const weight of row.values()) sum += weight;
        for (const [index, weight] of row) add(mixed, index, (share * weight) / sum);
      }
      for (const [index, weight] of mixed) { out.index.push(index); out.weight.push(weight); }
      out.start.push(out.index.length);
    }
    return { start: Int32Array.from(out.start), index: Int32Array.from(out.index), weight: Float32Array.from(out.weight) };
  }

  /** The window and the patch of a source that a point of the working image belongs to: of the windows over the point
   *  the one whose middle is nearest. */
  function patchAt(scene, source, x, y) {
    const { lay } = scene;
    const nearest = (starts, length, at) => {
      let best = 0;
      starts.forEach((start, number) => {
        const distance = (one) => Math.abs(at - starts[one] - length / 2);
        if (distance(number) < distance(best) - 1e-9) best = number;
      });
      return best;
    };
    const top = nearest(lay.tops, lay.height, y), left = nearest(lay.lefts, lay.width, x);
    const [padLeft, padRight, padTop, padBottom] = lay.padding;
    const cell = (at, start, length, before, after, cells) =>
      Math.min(cells - 1, Math.max(0, Math.floor(((at - start + before) / (length + before + after)) * cells)));
    const row = cell(y, lay.tops[top], lay.height, padTop, padBottom, source.height);
    const column = cell(x, lay.lefts[left], lay.width, padLeft, padRight, source.width);
    return { window: top * lay.lefts.length + left, row, column, index: row * source.width + column };
  }

  /** The rectangle of a patch, or of the whole grid, in the working image: [left, top, width, height]. */
  function placeOf(scene, source, window, row, column) {
    const { lay } = scene;
    const [padLeft, padRight, padTop, padBottom] = lay.padding;
    const width = lay.width + padLeft + padRight, height = lay.height + padTop + padBottom;
    const left = lay.lefts[window % lay.lefts.length] - padLeft;
    const top = lay.tops[Math.floor(window / lay.lefts.length)] - padTop;
    if (row === undefined) return [left, top, width, height];
    const wide = width / source.width, high = height / source.height;
    return [left + column * wide, top + row * high, wide, high];
  }

  // -------------------------------------------------------------------------------------------------------- attention

  /** Cosines of one window, (tokens, tokens); made once. */
  function similarity(source, window) {
    if (source.cache[window]) return source.cache[window];
    const { count } = source;
    // A fine grid has large matrices: only the last few of them stay in memory.
    if (count > 700) {
      source.recent = (source.recent || []).filter((one) => one !== window).concat(window);
      if (source.recent.length > 6) source.cache[source.recent.shift()] = undefined;
    }
    const matrix = source.of ? shifted(source, window)
      : source.rows ? products(source.rows[window], count, source.channels) : stored(source, window);
    source.cache[window] = matrix;
    return matrix;
  }

  /** Products of all rows with all rows. */
  function products(rows, count, channels) {
    const matrix = new Float32Array(count * count);
    for (let i = 0; i < count; i++)
      for (let j = 0, a = i * channels; j <= i; j++) {
        let sum = 0;
        for (let c = 0, b = j * channels; c < channels; c++) sum += rows[a + c] * rows[b + c];
        matrix[i * count + j] = matrix[j * count + i] = sum;
      }
    return matrix;
  }

  function stored({ cosines, symmetric, count }, window) {
    if (!symmetric) return cosines.subarray(window * count * count, (window + 1) * count * count);
    const matrix = new Float32Array(count * count);
    for (let i = 0, at = (window * count * (count + 1)) / 2; i < count; i++)
      for (let j = 0; j <= i; j++, at++) matrix[i * count + j] = matrix[j * count + i] = cosines[at];
    return matrix;
  }

  /** Cosines of a changed geometry: (1 - c - e) S + c, and 1 on the diagonal. */
  function shifted({ of, common, kept, count }, window) {
    const matrix = Float32Array.from(similarity(of, window), (cosine) => kept * cosine + common);
    for (let i = 0; i < count; i++) matrix[i * count + i] = 1;
    return matrix;
  }

  const OF_CLIP = ['qk', 'qq', 'kk'];

  /** The source that a state reads: q-k, q-q and k-k are CLIP's own similarities, others may have a changed geometry. */
  function sourceOf(scene, state) {
    const clip = OF_CLIP.includes(state.rule), key = clip ? state.rule : state.vfm;
    const source = scene.sources.find((one) => one.key === key) || scene.sources[0];
    return clip ? source : changed(source, state.base || 0, state.individual || 0);
  }

  /** A foundation model with a base and an individual part, as proxyclip.models.changed_geometry defines them; a negative
   *  base is taken away. The last geometry of each model is kept. */
  function changed(source, base, individual) {
    if (!base && !individual) return source;
    const geometry = `${base} ${individual}`;
    if (source.last && source.last.geometry === geometry) return source.last;
    const common = base < 0 ? base / (1 + base) : base, kept = 1 - common - individual;
    const means = source.means.map((mean) => kept * mean + common + individual / source.count);
    const [cache, largest] = [new Array(means.length), new Array(means.length)];
    return (source.last = { ...source, of: source, last: null, recent: null, geometry, common, kept, means, cache, largest });
  }

  /** Scale and threshold of a rule in a window; `alone` for identity attention, where a patch keeps only itself. */
  function scaleAndThreshold(source, window, state) {
    if (state.rule === 'identity') return { alone: true, scale: 1, threshold: Infinity };
    if (state.rule === 'hard') return { alone: false, scale: 1, threshold: state.alpha };
    return { alone: false, scale: state.gamma, threshold: state.beta * source.means[window] };
  }

  /** The largest cosine of each row of a window; looked for once. */
  function largest(source, window) {
    if (source.largest[window]) return source.largest[window];
    const { count } = source, matrix = similarity(source, window), found = new Float32Array(count).fill(-2);
    for (let i = 0, at = 0; i < count; i++)
      for (let j = 0; j < count; j++, at++) if (matrix[at] > found[i]) found[i] = matrix[at];
    source.largest[window] = found;
    return found;
  }

  /** A row's masked softmax before the division by its sum: which patches it keeps, and their weights. Returns their
   *  number. A row with nothing above the threshold keeps its maximum. */
  function keep(matrix, count, index, most, { alone, scale, threshold }, kept, weights) {
    if (alone) { kept[0] = index; weights[0] = 1; return 1; }
    const cut = Math.min(most, Math.fround(threshold)), start = index * count;
    let number = 0;
    for (let j = 0; j < count; j++) {
      const cosine = matrix[start + j];
      if (cosine < cut) continue;
      kept[number] = j;
      weights[number++] = Math.exp(scale * (cosine - most));
    }
    return number;
  }

  /** One row of the method: similarities, what the mask keeps, attention weights. */
  function attentionRow(source, window, index, rule) {
    const { count } = source, matrix = similarity(source, window);
    const which = new Uint32Array(count), unscaled = new Float64Array(count);
    const survivors = keep(matrix, count, index, largest(source, window)[index], rule, which, unscaled);
    const kept = new Uint8Array(count), weights = new Float32Array(count);
    let total = 0;
    for (let k = 0; k < survivors; k++) total += unscaled[k];
    for (let k = 0; k < survivors; k++) { kept[which[k]] = 1; weights[which[k]] = unscaled[k] / total; }
    return { cosines: matrix.subarray(index * count, (index + 1) * count), kept, weights, survivors, largest: weights.reduce((most, one) => Math.max(most, one)) };
  }

  /** Numbers of a window: share of entries at or above the threshold, share of rows that keep a single entry. */
  function statistics(source, window, { alone, threshold }) {
    const { count } = source;
    if (alone) return { kept: 1 / count, single: 1 };
    const matrix = similarity(source, window), limit = Math.fround(threshold);
    let kept = 0, single = 0;
    for (let i = 0; i < count; i++) {
      let row = 0;
      for (let j = i * count, end = j + count; j < end; j++) if (matrix[j] >= limit) row++;
      kept += row;
      if (row <= 1) single++;
    }
    return { kept: kept / (count * count), single: single / count };
  }

  /** Histogram of all cosines of a window between its smallest one and 1. */
  function histogram(source, window, bins = 72) {
    const matrix = similarity(source, window);
    let low = 1;
    for (const value of matrix) if (value < low) low = value;
    low = Math.min(0.98, low);
    const counts = new Float64Array(bins);
    for (const value of matrix) counts[Math.max(0, Math.min(bins - 1, Math.floor(((value - low) / (1 - low)) * bins)))]++;
    return { counts, low, high: 1 };
  }

  // ----------------------------------------------------------------------------------------------------- segmentation

  /** The readout of a window as functions of the shares with which CLIP's patches enter a weighted mean.
   *
   *  ln_post is affine but for its division by the standard deviation, and the embedding is normalised in the end. So
   *  the logits are linear in the shares, divided by a length; variance and length are quadratic forms, kept as lower
   *  triangles whose entries off the diagonal are doubled. Made once for each window. */
  function forms(readout, window) {
    const found = readout.windows[window];
    if (found.words) return found;
    const { rank, queries, patches, width } = readout, { load, word, gram, shift } = found;
    const variance = new Float64Array(patches * patches), length = new Float64Array(patches * patches);
    const along = new Float64Array(patches), words = new Float64Array(queries * patches), turned = new Float64Array(rank);
    for (let p = 0; p < patches; p++) {
      turned.fill(0);
      for (let r = 0, at = 0; r < rank; r++) {
        const part = load[p * rank + r];
        along[p] += part * shift[r];
        for (let s = 0; s < rank; s++, at++) turned[s] += part * gram[at];
        for (let q = 0; q < queries; q++) words[q * patches + p] += part * word[r * queries + q];
      }
      for (let t = 0; t <= p; t++) {
        let straight = 0, bent = 0;
        for (let r = 0, a = p * rank, b = t * rank; r < rank; r++, a++, b++) {
          straight += load[a] * load[b];
          bent += turned[r] * load[b];
        }
        variance[p * patches + t] = ((t < p ? 2 : 1) * straight) / width;
        length[p * patches + t] = (t < p ? 2 : 1) * bent;
      }
    }
    return (readout.windows[window] = { variance, length, along, words });
  }

  /** How a grid of patches is resized bilinearly onto CLIP's; null where it is the same grid. */
  function resizing(source, [height, width]) {
    if (height === source.height && width === source.width) return null;
    const columns = interpolation(width, source.width), rows = interpolation(height, source.height);
    const low = new Uint32Array(source.count), high = new Uint32Array(source.count), part = new Float64Array(source.count);
    for (let j = 0; j < source.count; j++) {
      const line = Math.floor(j / source.width) * width, column = j % source.width;
      low[j] = line + columns.low[column];
      high[j] = line + columns.high[column];
      part[j] = columns.fraction[column];
    }
    return { low, high, part, rows, width, height: source.height, lines: new Float64Array(source.height * width) };
  }

  /** Enter a row's weights into the shares of CLIP's patches, every fourth of which belongs to this row. */
  function enter(number, kept, weights, resized, shares, lane) {
    if (!resized) {
      for (let k = 0; k < number; k++) shares[4 * kept[k] + lane] = weights[k];
      return;
    }
    const { low, high, part, rows, width, height, lines } = resized;
    lines.fill(0);
    for (let k = 0; k < number; k++) {
      const j = kept[k], right = weights[k] * part[j];
      lines[low[j]] += weights[k] - right;
      lines[high[j]] += right;
    }
    for (let row = 0, at = 0; row < height; row++) {
      const down = rows.fraction[row], first = 4 * rows.low[row] * width + lane, second = 4 * rows.high[row] * width + lane;
      for (let column = 0; column < 4 * width; column += 4, at++) {
        const lower = lines[at] * down;
        shares[first + column] += lines[at] - lower;
        shares[second + column] += lower;
      }
    }
  }

  /** Logits of four rows at once: each number of a form is read once for the four. */
  function readFour({ epsilon, offsetSquare, offsetWords, queries, patches }, { variance, length, along, words }, shares, totals, out, first, rows) {
    let v0 = 0, v1 = 0, v2 = 0, v3 = 0, l0 = 0, l1 = 0, l2 = 0, l3 = 0, a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (let p = 0; p < patches; p++) {
      let x0 = 0, x1 = 0, x2 = 0, x3 = 0, y0 = 0, y1 = 0, y2 = 0, y3 = 0;
      for (let at = p * patches, end = at + p, k = 0; at <= end; at++, k += 4) {
        const v = variance[at], l = length[at], s0 = shares[k], s1 = shares[k + 1], s2 = shares[k + 2], s3 = shares[k + 3];
        x0 += v * s0; x1 += v * s1; x2 += v * s2; x3 += v * s3;
        y0 += l * s0; y1 += l * s1; y2 += l * s2; y3 += l * s3;
      }
      const k = 4 * p, s0 = shares[k], s1 = shares[k + 1], s2 = shares[k + 2], s3 = shares[k + 3], a = along[p];
      v0 += x0 * s0; v1 += x1 * s1; v2 += x2 * s2; v3 += x3 * s3;
      l0 += y0 * s0; l1 += y1 * s1; l2 += y2 * s2; l3 += y3 * s3;
      a0 += a * s0; a1 += a * s1; a2 += a * s2; a3 += a * s3;
    }
    // shares are not divided by their total before: linear forms are divided by it here, quadratic ones by its square
    const scaleOf = (square, bent, straight, total) => {
      const deviation = Math.sqrt(Math.max(0, square) / (total * total) + epsilon);
      const norm = Math.sqrt(Math.max(1e-24, bent / (total * total) + (2 * deviation * straight) / total + deviation * deviation * offsetSquare));
      return [1 / (total * norm), deviation / norm];
    };
    const [m0, d0] = scaleOf(v0, l0, a0, totals[0]), [m1, d1] = scaleOf(v1, l1, a1, totals[1]);
    const [m2, d2] = scaleOf(v2, l2, a2, totals[2]), [m3, d3] = scaleOf(v3, l3, a3, totals[3]);
    for (let q = 0; q < queries; q++) {
      let w0 = 0, w1 = 0, w2 = 0, w3 = 0;
      for (let at = q * patches, end = at + patches, k = 0; at < end; at++, k += 4) {
        const w = words[at];
        w0 += w * shares[k]; w1 += w * shares[k + 1]; w2 += w * shares[k + 2]; w3 += w * shares[k + 3];
      }
      const offset = offsetWords[q], at = first * queries + q;
      out[at] = w0 * m0 + d0 * offset;
      if (rows > 1) out[at + queries] = w1 * m1 + d1 * offset;
      if (rows > 2) out[at + 2 * queries] = w2 * m2 + d2 * offset;
      if (rows > 3) out[at + 3 * queries] = w3 * m3 + d3 * offset;
    }
  }

  /** Logits of one window, (tokens, queries): masked attention over the values, ln_post, projection, cosines. */
  function* windowLogits(scene, source, window, rule) {
    const { readout } = scene, { count } = source, form = forms(readout, window);
    const matrix = rule.alone ? null : similarity(source, window), most = rule.alone ? null : largest(source, window);
    const resized = resizing(source, readout.grid), logits = new Float64Array(count * readout.queries);
    const kept = new Uint32Array(count), weights = new Float64Array(count);
    const shares = new Float64Array(4 * readout.patches), totals = new Float64Array(4);
    for (let first = 0; first < count; first += 4) {
      if (first % 64 === 0) yield;
      const rows = Math.min(4, count - first);
      shares.fill(0);
      totals.fill(1);
      for (let lane = 0; lane < rows; lane++) {
        const index = first + lane, number = keep(matrix, count, index, most && most[index], rule, kept, weights);
        let total = 0;
        for (let k = 0; k < number; k++) total += weights[k];
        totals[lane] = total;
        enter(number, kept, weights, resized, shares, lane);
      }
      readFour(readout, form, shares, totals, logits, first, rows);
    }
    return logits;
  }

  /** Labels of the whole image: logits of all windows, averaged where they overlap, resized, compared. Yields often, so
   *  that a page can stay responsive. */
  function* segmentation(scene, state) {
    const source = sourceOf(scene, state), { lay, size } = scene;
    const queries = scene.readout.queries, { vertical, horizontal } = scene.axes[scene.sources.indexOf(source.of || source)];
    const logits = [];
    for (let window = 0; window < lay.tops.length * lay.lefts.length; window++)
      logits.push(yield* windowLogits(scene, source, window, scaleAndThreshold(source, window, state)));
    const [height, width] = size, across = lay.lefts.length * source.width, stretch = source.width * queries;
    const labels = new Int16Array(height * width);
    const line = new Float64Array(across * queries), pixel = new Float64Array(queries);
    for (let y = 0; y < height; y++) {
      if ((y & 15) === 15) yield;
      line.fill(0);
      for (let k = vertical.start[y]; k < vertical.start[y + 1]; k++) {
        const top = Math.floor(vertical.index[k] / source.height), row = vertical.index[k] % source.height;
        for (let left = 0; left < lay.lefts.length; left++)
          addTo(line, left * stretch, logits[top * lay.lefts.length + left], row * stretch, stretch, vertical.weight[k]);
      }
      for (let x = 0; x < width; x++) labels[y * width + x] = labelOf(scene, line, horizontal, x, pixel);
    }
    return labels;
  }

  function addTo(line, to, from, start, length, weight) {
    for (let at = 0; at < length; at++) line[to + at] += weight * from[start + at];
  }

  /** Label of a pixel: the logits of the patches that it is interpolated from are mixed, two patches at a time. */
  function labelOf({ readout: { queries }, classOfQuery, probThreshold }, line, { start, index, weight }, x, pixel) {
    pixel.fill(0);
    for (let k = start[x], end = start[x + 1]; k < end; k += 2) {
      const next = k + 1 < end ? k + 1 : k, one = weight[k], two = next > k ? weight[next] : 0;
      const a = index[k] * queries, b = index[next] * queries;
      for (let q = 0; q < queries; q++) pixel[q] += one * line[a + q] + two * line[b + q];
    }
    let best = 0, most = pixel[0];
    for (let q = 1; q < queries; q++) if (pixel[q] > most) { best = q; most = pixel[q]; }
    if (probThreshold !== null) {
      let total = 0;
      for (let q = 0; q < queries; q++) total += Math.exp(40 * (pixel[q] - most));
      if (1 / total < probThreshold) return 0;
    }
    return classOfQuery[best];
  }

  /** Intersection over union, per cent: mean over the classes that occur, and of each class. */
  function scores(labels, truth, classes) {
    const both = new Float64Array(classes), either = new Float64Array(classes);
    for (let i = 0; i < labels.length; i++) {
      if (truth[i] < 0) continue;
      either[labels[i]]++;
      if (labels[i] === truth[i]) both[labels[i]]++;
      else either[truth[i]]++;
    }
    const iou = Array.from(either, (union, one) => (union ? (100 * both[one]) / union : NaN));
    const present = iou.filter((value) => !Number.isNaN(value));
    return { miou: present.length ? present.reduce((sum, value) => sum + value) / present.length : NaN, iou };
  }

  /** For each patch of a window the share of its pixels that carry a label of the ground truth: label -> (tokens,). */
  function coverage(scene, source, window) {
    const { truth, size: [height, width], lay } = scene;
    const shares = new Map(), pixels = new Float64Array(source.count);
    const [left, top, wide, high] = placeOf(scene, source, window);
    const [scaleX, scaleY] = [width / lay.working[1], height / lay.working[0]];
    for (let y = Math.max(0, Math.floor(top * scaleY)); y < Math.min(height, (top + high) * scaleY); y++)
      for (let x = Math.max(0, Math.floor(left * scaleX)); x < Math.min(width, (left + wide) * scaleX); x++) {
        const row = Math.floor((((y + 0.5) / scaleY - top) / high) * source.height);
        const column = Math.floor((((x + 0.5) / scaleX - left) / wide) * source.width);
        if (row < 0 || column < 0 || row >= source.height || column >= source.width) continue;
        const index = row * source.width + column, label = truth[y * width + x];
        pixels[index]++;
        if (label < 0) continue;
        if (!shares.has(label)) shares.set(label, new Float64Array(source.count));
        shares.get(label)[index]++;
      }
    for (const share of shares.values()) for (let i = 0; i < share.length; i++) share[i] /= pixels[i] || 1;
    return shares;
  }

  /** Share of a patch's attention weight that falls on its own class (or object), null where most of it has none. */
  function weightOnOwn(shares, index, weights) {
    for (const [label, share] of shares) {
      if (share[index] < 0.5) continue;
      let sum = 0;
      for (let j = 0; j < weights.length; j++) sum += weights[j] * share[j];
      return { label, share: sum };
    }
    return null;
  }

  /** Run a generator to its end and return its value. */
  function finish(job) {
    for (;;) { const { done, value } = job.next(); if (done) return value; }
  }

  const core = {
    decode, numbers, similarity, sourceOf, scaleAndThreshold, attentionRow, statistics, histogram, segmentation, scores,
    coverage, weightOnOwn, patchAt, placeOf, axisWeights, finish,
  };
  // ------------------------------------------------------------------------------------------------------------- page

  const RULES = [
    ['adaptive', 'adaptive'], ['hard', 'hard mask'], ['identity', 'identity'],
    ['qk', 'q-k'], ['qq', 'q-q'], ['kk', 'k-k'],
  ];
  const SLIDERS = {
    beta: { symbol: 'β', name: 'shift', min: 0.05, max: 2, step: 0.01, digits: 2 },
    gamma: { symbol: 'γ', name: 'scale', min: 0.5, max: 15, step: 0.1, digits: 1 },
    alpha: { symbol: 'α', name: 'threshold', min: -1, max: 1, step: 0.01, digits: 2 },
    base: { symbol: 'c', name: 'base', min: -0.9, max: 0.9, step: 0.01, digits: 2 },
    individual: { symbol: 'e', name: 'individual part', min: 0, max: 0.9, step: 0.01, digits: 2 },
  };
  const OF_GEOMETRY = ['base', 'individual'];
  /** Largest sum of base and individual part: something of the model's own cosines has to be left. */
  const MOST_CHANGED = 0.95;
  const START = { rule: 'adaptive', beta: 1.2, gamma: 3, alpha: 0.4, base: 0, individual: 0 };
  /** Milliseconds of computing between two frames. */
  const FRAME = 60;
  const VIRIDIS = [[68, 1, 84], [65, 68, 135], [42, 120, 142], [34, 168, 132], [122, 209, 81], [253, 231, 37]];
  const EMBER = [[20, 10, 10], [122, 30, 20], [213, 94, 0], [245, 170, 50], [255, 243, 190]];

  function ramp(stops, share) {
    const place = Math.max(0, Math.min(1, share)) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    return stops[low].map((level, i) => level + (place - low) * (stops[low + 1][i] - level));
  }

  /** A ramp in 1024 steps, as the pixels of an image: red is the lowest byte. */
  function rampPixels(stops, alpha) {
    return Uint32Array.from({ length: 1024 }, (_, i) => {
      const [red, green, blue] = ramp(stops, i / 1023).map(Math.round);
      return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    });
  }

  const COSINES = rampPixels(VIRIDIS, 205), WEIGHTS = rampPixels(EMBER, 225), MASKED = 0xdc100c0c;
  const step = (share) => Math.max(0, Math.min(1023, Math.round(1023 * share)));

  /** Change a text only where it differs: the page is not laid out again for nothing. */
  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  /** An element with attributes, handlers (`onclick`) and children. */
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
      else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? '' : value);
    }
    element.append(...children);
    return element;
  }

  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;

  /** The state that an address names for one explorer: `#ID?rule=hard&alpha=0.4`, null where it names another place. */
  function stateOfHash(hash, id) {
    const [place, query] = hash.replace(/^#/, '').split('?');
    return place === id && query !== undefined ? Object.fromEntries(new URLSearchParams(query)) : null;
  }

  /** A state with every value allowed: unknown names and numbers out of range are left as they were. */
  function checked(wanted, scenes, before) {
    const state = { ...before };
    const scene = scenes.findIndex((one) => one.key === wanted.scene);
    if (scene >= 0) state.scene = scene;
    const { sources, size, windows } = scenes[state.scene];
    const own = sources.filter((source) => !OF_CLIP.includes(source.key)).map((source) => source.key);
    state.vfm = [wanted.vfm, before.vfm, own[0]].find((key) => own.includes(key));
    const rules = RULES.map(([key]) => key).filter((key) => !OF_CLIP.includes(key) || sources.some((one) => one.key === key));
    state.rule = [wanted.rule, before.rule, 'adaptive'].find((key) => rules.includes(key));
    const bounds = { ...SLIDERS, x: { min: 0, max: windows.working[1] }, y: { min: 0, max: windows.working[0] } };
    for (const [name, { min, max }] of Object.entries(bounds)) {
      const value = Number(wanted[name]);
      if (wanted[name] !== undefined && wanted[name] !== '' && Number.isFinite(value)) state[name] = Math.min(max, Math.max(min, value));
    }
    if (state.base + state.individual > MOST_CHANGED) { // the one that was asked for counts
      if (wanted.individual === undefined) state.individual = MOST_CHANGED - state.base;
      else state.base = MOST_CHANGED - state.individual;
    }
    if (!(state.x <= windows.working[1]) || !(state.y <= windows.working[0]) || !size) {
      state.x = windows.working[1] / 2;
      state.y = windows.working[0] / 2;
    }
    return state;
  }

  /** Draw an explorer into an element. `model` has `scenes`, and may have `state`, where it starts, and `id`, its name in
   *  the address; returns a function that removes it. */
  function render({ model, el }) {
    const given = (name) => (typeof model.get === 'function' ? model.get(name) : model[name]);
    const scenes = given('scenes'), id = given('id') || 'explorer';
    const first = scenes.findIndex((scene) => scene.key === (given('state') || {}).scene);
    const initial = checked(given('state') || {}, scenes, { ...START, scene: Math.max(0, first), x: NaN, y: NaN });
    const addressed = stateOfHash(global.location ? location.hash : '', id);
    let state = checked(addressed || {}, scenes, initial);
    let scene = null, view = null, held = false, job = null, labels = null, quality = null, frame = 0, waiting = false, asked = 0, styles = null;
    const decoded = new Map(), removers = [], sizes = new WeakMap();

    // --- elements
    const controls = make('div', { class: 'pce-controls' });
    const panels = make('div', {
      class: 'pce-panels', tabindex: '0', role: 'application', 'aria-describedby': `${id}-help`,
      'aria-label': 'Patch of the image: arrow keys move from patch to patch',
    });
    const plot = make('canvas', { class: 'pce-plot', role: 'img' });
    const handle = make('div', { class: 'pce-handle', role: 'slider', tabindex: '0', 'aria-label': 'threshold on the cosines' });
    const plotBox = make('div', { class: 'pce-plot-box' }, plot, handle);
    const plotCaption = make('p', { class: 'pce-plot-caption' });
    const numbersList = make('dl', { class: 'pce-numbers simple' });
    const warning = make('p', { class: 'pce-warning', hidden: true });
    const live = make('p', { class: 'pce-live', 'aria-live': 'polite' });
    const legend = make('ul', { class: 'pce-legend', 'aria-label': 'classes' });
    const note = make('p', { class: 'pce-note' });
    const copied = make('span', { class: 'pce-copied', role: 'status' });
    const link = make('button', { type: 'button', onclick: copyLink }, 'Copy link to this view');
    const reset = make('button', { type: 'button', onclick: () => change(initial) }, 'Reset');
    const help = make('p', { class: 'pce-help', id: `${id}-help` },
      'Point at a patch, or move with the arrow keys (Shift: four patches at a time). Click to hold a patch, click again to release it.');
    el.classList.add('pce');
    el.replaceChildren(make('div', { class: 'pce-top' }, controls, make('div', { class: 'pce-histogram' }, plotBox, plotCaption)),
      help, panels, numbersList, warning, legend, note, make('div', { class: 'pce-actions' }, link, reset, copied), live);

    /** One line of choices, as native radio buttons. */
    function choices(name, title, options, chosen, pick) {
      const group = make('fieldset', { class: `pce-choices pce-${name}` }, make('legend', {}, title));
      for (const [key, label, gap] of options) {
        const input = make('input', { type: 'radio', name: `${id}-${name}`, value: key, checked: key === chosen, onchange: () => pick(key) });
        group.append(make('label', { class: gap ? 'pce-gap' : '' }, input, make('span', {}, label)));
      }
      return group;
    }

    function slider(name) {
      const { symbol, name: meaning, min, max, step } = SLIDERS[name];
      const output = make('output', { for: `${id}-${name}` });
      const input = make('input', {
        type: 'range', id: `${id}-${name}`, min, max, step, value: state[name],
        oninput: () => change({ [name]: Number(input.value) }),
      });
      const row = make('div', { class: 'pce-slider' },
        make('label', { for: `${id}-${name}` }, make('i', {}, symbol), ` ${meaning}`), input, output);
      return { row, input, output };
    }

    const sliders = Object.fromEntries(Object.keys(SLIDERS).map((name) => [name, slider(name)]));

    function buildControls() {
      const { sources } = scenes[state.scene];
      const own = sources.filter((source) => !OF_CLIP.includes(source.key));
      const twice = new Set(own.map((source) => source.label)).size < own.length;
      const vfms = own.map((source) => [source.key, twice ? source.key : source.label]);
      const rules = RULES.filter(([key]) => !OF_CLIP.includes(key) || sources.some((source) => source.key === key))
        .map(([key, label]) => [key, label, key === 'qk']);
      const rows = [];
      if (scenes.length > 1)
        rows.push(choices('scene', 'Image', scenes.map((one) => [one.key, one.title]), scenes[state.scene].key, (key) => change({ scene: key })));
      if (vfms.length > 1)
        rows.push(choices('vfm', 'Foundation model', vfms, state.vfm, (key) => change({ vfm: key })));
      rows.push(choices('rule', 'Attention', rules, state.rule, (key) => change({ rule: key })));
      const group = (names) => make('div', { class: 'pce-sliders' }, ...names.map((name) => sliders[name].row));
      rows.push(group(['beta', 'gamma', 'alpha']));
      rows.push(make('fieldset', { class: 'pce-geometry' }, make('legend', {}, 'Change the model: S′ = (1 − c − e) S + c'), group(OF_GEOMETRY)));
      controls.replaceChildren(...rows);
    }

    /** One panel: a canvas with the image's proportions and a caption whose text follows. */
    function panel(kind, title, describe) {
      const canvas = make('canvas', { role: 'img', 'aria-label': describe });
      const text = make('span');
      const figure = make('figure', { class: `pce-panel pce-${kind}` }, canvas, make('figcaption', {}, make('b', {}, title), ' ', text));
      canvas.style.aspectRatio = `${scene.size[1]} / ${scene.size[0]}`;
      for (const kind of ['pointerdown', 'pointermove']) canvas.addEventListener(kind, (event) => point(event, canvas, kind));
      canvas.addEventListener('click', (event) => { if (event.detail && event.pointerType !== 'touch') { held = !held; point(event, canvas, 'pointerdown'); } });
      return { kind, canvas, text, figure };
    }

    function buildPanels() {
      const list = [panel('image', 'Image', 'the image with the chosen patch'),
        panel('cosines', 'S', 'cosines of the chosen patch with all others'),
        panel('mask', 'Mask', 'patches that reach the threshold'),
        panel('weights', 'P', 'attention weights of the chosen patch')];
      if (scene.readout) list.push(panel('labels', 'Labels', 'segmentation of the whole image'));
      if (scene.truth) list.push(panel('truth', scene.readout ? 'Ground truth' : 'Objects', 'annotation of the image'));
      panels.replaceChildren(...list.map((one) => one.figure));
      panels.dataset.count = list.length;
      list.forEach((one) => observer.observe(one.canvas));
      return list;
    }

    const observer = new ResizeObserver((entries) => {
      for (const { target } of entries) sizes.delete(target);
      redraw();
    });
    observer.observe(plot);
    removers.push(() => observer.disconnect());

    // --- a scene
    async function open() {
      const index = state.scene;
      panels.setAttribute('aria-busy', 'true');
      if (!decoded.has(index)) decoded.set(index, decode(scenes[index]).then(async (ready) => ({ ...ready, ...(await pictures(ready)) })));
      let ready;
      try { ready = await decoded.get(index); } catch (error) {
        note.textContent = `This browser cannot unpack the data of this page (${error.message}); one of 2023 or later can.`;
        return;
      }
      if (index !== state.scene) return;
      scene = ready;
      job = labels = quality = null;  // of the image before
      view = buildPanels();
      note.textContent = scene.note;
      panels.removeAttribute('aria-busy');
      update();
      el.dispatchEvent(new CustomEvent('explorer-ready', { bubbles: true }));
    }

    /** The image in colour and in grey, and its ground truth in colour, as canvases. */
    async function pictures({ image, size: [height, width], truth, readout, colours }) {
      const picture = new Image();
      picture.src = image;
      await picture.decode();
      const paint = (filter) => {
        const canvas = make('canvas', { width, height }), context = canvas.getContext('2d');
        context.filter = filter;
        context.drawImage(picture, 0, 0, width, height);
        return canvas;
      };
      const own = colours.length ? colours : objectColours(truth);
      return { colour: paint('none'), grey: paint('grayscale(1)'), truthPicture: truth && labelPicture(truth, size_(height, width), own), own, readout, painted: painting(height, width), grids: new Map() };
    }
    const size_ = (height, width) => [height, width];

    function objectColours(truth) {
      const count = truth ? truth.reduce((most, one) => Math.max(most, one), 0) + 1 : 0;
      return Array.from({ length: count }, (_, i) => {
        const hue = (210 + i * 222.5) % 360, light = [0.62, 0.45, 0.74][i % 3], spread = 0.65 * Math.min(light, 1 - light);
        const channel = (n) => { const k = (n + hue / 30) % 12; return light - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1)); };
        return '#' + [0, 8, 4].map((n) => Math.round(255 * channel(n)).toString(16).padStart(2, '0')).join('');
      });
    }

    /** A picture of so many pixels that is painted again and again; red is the lowest byte of a pixel. */
    function painting(height, width) {
      const canvas = make('canvas', { width, height }), context = canvas.getContext('2d');
      const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
      return { canvas, pixels, show: () => context.putImageData(image, 0, 0) };
    }

    function labelPicture(values, [height, width], colours, picture = painting(height, width)) {
      const table = Uint32Array.from(colours, (text) => {
        const [red, green, blue] = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
        return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      });
      const { pixels } = picture;
      for (let i = 0; i < values.length; i++) pixels[i] = values[i] < 0 ? 0 : table[values[i]];
      picture.show();
      return picture.canvas;
    }

    // --- changes
    function change(wanted) {
      const before = state;
      state = checked({ ...wanted, scene: typeof wanted.scene === 'number' ? scenes[wanted.scene].key : wanted.scene }, scenes, state);
      asked = performance.now();
      if (state.scene !== before.scene) { labels = null; buildControls(); showControls(); open(); } else update(before);
      remember();
    }

    function update(before) {
      showControls();
      const moved = before && ['vfm', 'rule', ...Object.keys(SLIDERS)].every((name) => before[name] === state[name]);
      if (scene && scene.readout && !moved) { job = segmentation(scene, state); panels.setAttribute('aria-busy', 'true'); }
      if (frame) redraw();
      else { nextFrame(); tick(); }
    }

    /** Draw with the screen's next refresh. */
    function redraw() {
      waiting = true;
      if (!frame) nextFrame();
    }

    /** The first change after a refresh is drawn at once, in time for the next one; others before that wait for it. */
    function nextFrame() {
      frame = requestAnimationFrame(() => {
        frame = 0;
        if (!waiting) return;
        waiting = false;
        nextFrame();
        tick();
      });
    }

    /** One frame: the row is free; labels are computed for as long as the frame allows. */
    function tick() {
      if (!scene || !view) return;
      const end = performance.now() + FRAME;
      while (job && performance.now() < end) {
        const { done, value } = job.next();
        if (!done) continue;
        job = null;
        labels = { values: value, picture: labelPicture(value, scene.size, scene.colours, scene.painted) };
        quality = scene.truth ? scores(value, scene.truth, scene.classes.length) : null;
        panels.removeAttribute('aria-busy');
      }
      draw();
      if (job) redraw();
      else if (asked) {
        el.dispatchEvent(new CustomEvent('explorer-drawn', { bubbles: true, detail: { milliseconds: performance.now() - asked } }));
        asked = 0;
        announce();
      }
    }

    let remembering = 0;
    function remember() {
      clearTimeout(remembering);
      remembering = setTimeout(() => {
        try { history.replaceState(history.state, '', `#${address()}`); } catch { /* a frame without an address */ }
      }, 300);
    }

    function address() {
      const named = { scene: scenes[state.scene].key, vfm: state.vfm, rule: state.rule };
      const used = state.rule === 'hard' ? ['alpha'] : state.rule === 'identity' ? [] : ['beta', 'gamma'];
      used.push(...OF_GEOMETRY.filter((name) => state[name]));
      for (const name of used) named[name] = Number(state[name].toFixed(4));
      for (const name of ['x', 'y']) named[name] = Number(state[name].toFixed(1));
      return `${id}?${new URLSearchParams(named)}`;
    }

    async function copyLink() {
      const text = `${location.href.split('#')[0]}#${address()}`;
      try { await navigator.clipboard.writeText(text); copied.textContent = 'Copied.'; } catch {
        try { history.replaceState(history.state, '', `#${address()}`); copied.textContent = 'The link is in the address bar.'; } catch { copied.textContent = text; }
      }
      setTimeout(() => { copied.textContent = ''; }, 4000);
    }

    function onHash() {
      const wanted = stateOfHash(location.hash, id);
      if (wanted) { change(wanted); el.scrollIntoView({ block: 'start' }); }
    }
    if (global.addEventListener) {
      global.addEventListener('hashchange', onHash);
      removers.push(() => global.removeEventListener('hashchange', onHash));
    }

    // --- pointing
    function point(event, canvas, kind) {
      if (kind === 'pointermove' && (event.pointerType === 'mouse' ? held : !event.buttons)) return;
      const box = canvas.getBoundingClientRect(), { working } = scene.lay;
      const x = ((event.clientX - box.left) / box.width) * working[1], y = ((event.clientY - box.top) / box.height) * working[0];
      const inside = (value, most) => Math.min(most - 1e-3, Math.max(0, value));
      change({ x: inside(x, working[1]), y: inside(y, working[0]) });
    }

    panels.addEventListener('keydown', (event) => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.key === 'Escape') held = false;
      if (!steps || !scene) return;
      event.preventDefault();
      const source = sourceOf(scene, state), at = patchAt(scene, source, state.x, state.y), times = event.shiftKey ? 4 : 1;
      const [left, top, width, height] = placeOf(scene, source, at.window, at.row, at.column);
      const { working } = scene.lay, inside = (value, most) => Math.min(most - 1e-3, Math.max(0, value));
      held = true;
      change({ x: inside(left + width / 2 + steps[0] * width * times, working[1]), y: inside(top + height / 2 + steps[1] * height * times, working[0]) });
    });

    function toThreshold(threshold) {
      const source = sourceOf(scene, state), { window } = patchAt(scene, source, state.x, state.y);
      if (state.rule === 'hard') change({ alpha: threshold });
      else if (state.rule !== 'identity') change({ beta: threshold / source.means[window] });
    }

    let range = { low: -1, high: 1 };
    const dragged = (event) => {
      const box = plot.getBoundingClientRect();
      toThreshold(range.low + ((event.clientX - box.left) / box.width) * (range.high - range.low));
    };
    plotBox.addEventListener('pointerdown', (event) => {
      if (state.rule === 'identity' || !scene) return;
      plotBox.setPointerCapture(event.pointerId);
      handle.focus({ preventScroll: true });
      dragged(event);
    });
    plotBox.addEventListener('pointermove', (event) => { if (event.buttons && plotBox.hasPointerCapture(event.pointerId)) dragged(event); });
    handle.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 }[event.key];
      if (!step || state.rule === 'identity') return;
      event.preventDefault();
      toThreshold(Number(handle.getAttribute('aria-valuenow')) + step);
    });

    // --- showing
    function showControls() {
      for (const [name, { input, output, row }] of Object.entries(sliders)) {
        const used = name === 'alpha' ? state.rule === 'hard'
          : OF_GEOMETRY.includes(name) ? !['identity', ...OF_CLIP].includes(state.rule) : !['hard', 'identity'].includes(state.rule);
        row.hidden = !used;
        if (Number(input.value) !== state[name]) input.value = state[name];
        write(output, state[name].toFixed(SLIDERS[name].digits).replace('-', '−'));
      }
      for (const [name, value] of [['scene', scenes[state.scene].key], ['vfm', state.vfm], ['rule', state.rule]])
        for (const input of controls.querySelectorAll(`.pce-${name} input`)) input.checked = input.value === value;
      controls.querySelector('.pce-geometry').hidden = sliders.base.row.hidden;
      const group = controls.querySelector('.pce-vfm');
      if (group) group.classList.toggle('pce-unused', OF_CLIP.includes(state.rule));
    }

    /** What the chosen patch sees, computed for each frame. */
    function current() {
      const source = sourceOf(scene, state), at = patchAt(scene, source, state.x, state.y);
      const rule = scaleAndThreshold(source, at.window, state), row = attentionRow(source, at.window, at.index, rule);
      const key = [scene.key, source.key, source.geometry, at.window, state.rule, rule.threshold].join();
      if (current.key !== key) Object.assign(current, { key, numbers: statistics(source, at.window, rule) });
      const bars = [scene.key, source.key, source.geometry, at.window].join();
      if (current.bars !== bars) Object.assign(current, { bars, histogram: histogram(source, at.window), coverage: scene.truth && coverage(scene, source, at.window) });
      return { source, at, rule, row, numbers: current.numbers, histogram: current.histogram, own: scene.truth && weightOnOwn(current.coverage, at.index, row.weights) };
    }

    function draw() {
      const now = current(), computed = getComputedStyle(el), named = (name, otherwise) => computed.getPropertyValue(name).trim() || otherwise;
      styles = {
        veil: named('--pce-veil', 'rgba(255, 255, 255, 0.75)'), ink: named('--pce-muted', '#666'),
        faded: Number(named('--pce-faded', 0.3)), font: computed.fontFamily,
      };
      range = now.histogram;
      for (const one of view) drawPanel(one, now);
      drawPlot(now);
      showNumbers(now);
      el.__shown = now;
    }

    /** A canvas with as many pixels as the screen gives it. Its size is asked for again only after it has changed. */
    function fit(canvas) {
      const ratio = global.devicePixelRatio || 1;
      let size = sizes.get(canvas);
      if (!size || size.ratio !== ratio) {
        const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * ratio)));
        sizes.set(canvas, (size = { width, height, ratio, context: canvas.getContext('2d') }));
      }
      if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, { width: size.width, height: size.height });
      return size;
    }

    /** A grid with one pixel for each patch, painted by a function of its pixels. */
    function grid(kind, source, paint) {
      const key = `${kind} ${source.width} ${source.height}`;
      if (!scene.grids.has(key)) scene.grids.set(key, painting(source.height, source.width));
      const picture = scene.grids.get(key);
      paint(picture.pixels);
      picture.show();
      return picture.canvas;
    }

    const PAINTED = {
      cosines: ({ row: { cosines }, histogram: { low } }) => (pixels) => {
        for (let i = 0; i < pixels.length; i++) pixels[i] = COSINES[step((cosines[i] - low) / (1 - low))];
      },
      mask: ({ row: { kept } }) => (pixels) => { for (let i = 0; i < pixels.length; i++) pixels[i] = kept[i] ? 0 : MASKED; },
      weights: ({ row: { weights, largest: most } }) => (pixels) => {
        for (let i = 0; i < pixels.length; i++) pixels[i] = WEIGHTS[step(weights[i] / most)];
      },
    };

    function drawPanel({ kind, canvas, text }, now) {
      const { source, at } = now;
      const { context, width, height, ratio } = fit(canvas);
      const { working } = scene.lay, scaled = ([x, y, w, h]) => [x * width / working[1], y * height / working[0], w * width / working[1], h * height / working[0]];
      const area = scaled(placeOf(scene, source, at.window)), patch = scaled(placeOf(scene, source, at.window, at.row, at.column));
      context.imageSmoothingEnabled = width < scene.size[1];
      const whole = (picture, alpha = 1) => { context.globalAlpha = alpha; context.drawImage(picture, 0, 0, width, height); context.globalAlpha = 1; };
      context.clearRect(0, 0, width, height);
      const inRow = kind === 'cosines' || kind === 'mask' || kind === 'weights';
      whole(kind === 'image' || kind === 'mask' ? scene.colour : scene.grey);
      if (inRow) {
        context.save();
        context.beginPath();
        context.rect(...area);
        context.clip();
        context.imageSmoothingEnabled = false;
        context.drawImage(grid(kind, source, PAINTED[kind](now)), ...area);
        context.restore();
        // what lies outside the window is not attended to
        context.fillStyle = styles.veil;
        context.beginPath();
        context.rect(0, 0, width, height);
        context.rect(...area);
        context.fill('evenodd');
      } else if (kind === 'labels' && labels) whole(labels.picture, 0.78);
      else if (kind === 'truth') whole(scene.truthPicture, 0.78);
      const line = (rectangle, colour, wide) => { context.strokeStyle = colour; context.lineWidth = wide * ratio; context.strokeRect(...rectangle); };
      if (inRow || kind === 'image') {
        line(area, 'rgba(0, 0, 0, 0.75)', 2.5);
        line(area, 'rgba(255, 255, 255, 0.95)', 1);
      }
      line(patch, '#000', 4);
      line(patch, '#fff', 2);
      write(text, panelText(kind, now));
    }

    function panelText(kind, { source, at, row }) {
      const pixel = () => {
        const x = Math.min(scene.size[1] - 1, Math.floor((state.x * scene.size[1]) / scene.lay.working[1]));
        const y = Math.min(scene.size[0] - 1, Math.floor((state.y * scene.size[0]) / scene.lay.working[0]));
        return y * scene.size[1] + x;
      };
      if (kind === 'image') {
        const windows = scene.lay.tops.length * scene.lay.lefts.length;
        return `${held ? 'held, ' : ''}patch ${at.row + 1}, ${at.column + 1}${windows > 1 ? `; window ${at.window + 1} of ${windows}` : ''}`;
      }
      if (kind === 'cosines') return 'cosines with this patch';
      if (kind === 'mask') return `keeps ${row.survivors} of ${source.count}`;
      if (kind === 'weights') return `its weights, largest ${percent(row.largest)}`;
      if (kind === 'labels') return labels ? `${quality && Number.isFinite(quality.miou) ? `mIoU ${quality.miou.toFixed(1)}; ` : ''}here ${scene.classes[labels.values[pixel()]]}` : '';
      const label = scene.truth[pixel()];
      return label < 0 ? 'not annotated' : scene.readout ? `here ${scene.classes[label]}` : (scene.objects || [])[label] || `object ${label + 1}`;
    }

    function drawPlot({ histogram: { counts, low, high }, rule, source, at }) {
      const { context, width, height, ratio } = fit(plot), { ink, faded, font } = styles;
      const axis = 18 * ratio, tallest = Math.sqrt(Math.max(...counts)), across = (value) => ((value - low) / (high - low)) * width;
      context.clearRect(0, 0, width, height);
      counts.forEach((count, i) => {
        const left = (i / counts.length) * width, right = ((i + 1) / counts.length) * width, middle = low + ((i + 0.5) / counts.length) * (high - low);
        const tall = (Math.sqrt(count) / tallest) * (height - axis - 4 * ratio);
        context.globalAlpha = !rule.alone && middle >= rule.threshold ? 1 : faded;
        context.fillStyle = `rgb(${ramp(VIRIDIS, (middle - low) / (high - low)).join()})`;
        context.fillRect(left, height - axis - tall, Math.max(1, right - left - ratio * 0.5), tall);
      });
      context.globalAlpha = 1;
      context.fillStyle = context.strokeStyle = ink;
      context.lineWidth = ratio;
      context.beginPath();
      context.moveTo(0, height - axis + 0.5);
      context.lineTo(width, height - axis + 0.5);
      context.stroke();
      context.font = `${11 * ratio}px ${font}`;
      context.textBaseline = 'bottom';
      const every = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((step) => (high - low) / step <= 7);
      for (let tick = Math.ceil(low / every) * every; tick <= high + 1e-9; tick += every) {
        const place = across(tick);
        context.textAlign = place < 14 * ratio ? 'left' : place > width - 14 * ratio ? 'right' : 'center';
        context.fillText(tick.toFixed(every < 0.1 ? 2 : 1).replace('-', '−'), place, height);
        context.fillRect(Math.min(width - ratio, place), height - axis, ratio, 3 * ratio);
      }
      const mean = across(source.means[at.window]);
      context.beginPath();
      context.moveTo(mean, height - axis - 7 * ratio);
      context.lineTo(mean - 5 * ratio, height - axis);
      context.lineTo(mean + 5 * ratio, height - axis);
      context.fill();
      const place = Math.max(0, Math.min(1, (rule.threshold - low) / (high - low)));
      handle.hidden = rule.alone;
      handle.style.left = `${100 * place}%`;
      handle.dataset.side = place > 0.7 ? 'left' : 'right';
      handle.dataset.text = rule.alone ? '' : `τ = ${rule.threshold.toFixed(3).replace('-', '−')}`;
      for (const [name, value] of Object.entries({ valuemin: low.toFixed(3), valuemax: high.toFixed(3), valuenow: rule.alone ? '' : rule.threshold.toFixed(4), valuetext: rule.alone ? 'no threshold' : `cosine ${rule.threshold.toFixed(3)}` }))
        handle.setAttribute(`aria-${name}`, value);
      plot.setAttribute('aria-label', `histogram of all cosines of this window, from ${low.toFixed(2)} to 1`);
      const formula = source.of ? `, changed: S′ = ${source.kept.toFixed(2)} S ${source.common < 0 ? '−' : '+'} ${Math.abs(source.common).toFixed(2)}` : '';
      write(plotCaption, `All cosines of this window${formula}; triangle: their mean; heights: square roots of the counts.${rule.alone ? '' : ' What lies left of the line is masked: drag it.'}`);
    }

    function showNumbers({ source, at, rule, numbers: { kept, single }, own }) {
      const rows = [
        ['mean', source.of ? 'mean(S′)' : 'mean(S)', source.means[at.window].toFixed(3)],
        ['threshold', 'threshold τ', rule.alone ? 'none' : rule.threshold.toFixed(3)],
        ['kept', source.of ? 'share of S′ kept' : 'share of S kept', percent(kept)],
        ['single', 'rows alone', percent(single)],
      ];
      if (scene.truth) rows.push(['own', scene.readout ? 'weight on own class' : 'weight on own object', own ? percent(own.share) : 'mixed patch']);
      if (scene.readout) rows.push(['miou', 'mIoU of the image', quality && Number.isFinite(quality.miou) ? quality.miou.toFixed(1) : 'no ground truth']);
      const wanted = rows.map(([, title]) => title).join();
      if (numbersList.dataset.rows !== wanted) {
        numbersList.dataset.rows = wanted;
        numbersList.style.setProperty('--pce-count', rows.length);
        numbersList.replaceChildren(...rows.map(([key, title]) => make('div', { class: `pce-${key}` }, make('dt', {}, title), make('dd', { 'data-number': key }))));
      }
      rows.forEach(([, , value], i) => write(numbersList.children[i].lastChild, value.replace('-', '−')));
      numbersList.classList.toggle('pce-busy', Boolean(job));
      const identity = state.rule !== 'identity' && single > 0.01;
      warning.hidden = !identity;
      if (identity) write(warning, `In ${percent(single)} of the rows no other patch reaches the threshold: there, a patch keeps only itself, which is identity attention.`);
      showLegend();
    }

    function showLegend() {
      if (!scene.readout || !labels) { legend.replaceChildren(); return; }
      if (showLegend.of === labels) return;
      showLegend.of = labels;
      const counts = new Float64Array(scene.classes.length);
      for (const value of labels.values) counts[value]++;
      if (scene.truth) for (const value of scene.truth) if (value >= 0) counts[value] += 0.5;
      const order = [...counts.keys()].filter((one) => counts[one]).sort((a, b) => counts[b] - counts[a]).slice(0, 18);
      legend.replaceChildren(...order.map((one) => {
        const swatch = make('span', { class: 'pce-swatch' });
        swatch.style.background = scene.colours[one];
        return make('li', {}, swatch, scene.classes[one], quality && !Number.isNaN(quality.iou[one]) ? make('small', {}, ` IoU ${quality.iou[one].toFixed(0)}`) : '');
      }));
    }

    let announcing = 0;
    function announce() {
      clearTimeout(announcing);
      announcing = setTimeout(() => {
        if (!scene || !el.__shown) return;
        const { at, row, source } = el.__shown;
        live.textContent = `Patch in row ${at.row + 1}, column ${at.column + 1} keeps ${row.survivors} of ${source.count} patches. `
          + [...numbersList.children].map((one) => `${one.firstChild.textContent}: ${one.lastChild.textContent}`).join('; ') + '.';
      }, 500);
    }

    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) {
      const list = global.matchMedia && matchMedia(query);
      if (list) { list.addEventListener('change', redraw); removers.push(() => list.removeEventListener('change', redraw)); }
    }
    const theme = new MutationObserver(redraw);
    theme.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme', 'class'] });
    removers.push(() => theme.disconnect());

    buildControls();
    showControls();
    open();
    if (addressed) el.scrollIntoView({ block: 'start' });
    return () => { removers.forEach((remove) => remove()); cancelAnimationFrame(frame); el.replaceChildren(); };
  }

  /** Draw every explorer of the page: elements with `data-explorer="ID"`, data in the JSON of `#ID-data`. */
  function start() {
    for (const el of document.querySelectorAll('[data-explorer]')) {
      const id = el.dataset.explorer, data = document.getElementById(`${id}-data`);
      if (data && !el.__explorer) { el.__explorer = true; render({ model: { id, ...JSON.parse(data.textContent) }, el }); }
    }
  }

  global.ProxyCLIPExplorer = { ...core, render, start, stateOfHash, checked };
  if (typeof module !== 'undefined') module.exports = global.ProxyCLIPExplorer;
  if (global.document) {
    if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start);
    else start();
  }
})(typeof globalThis !== 'undefined' ? globalThis : this);
