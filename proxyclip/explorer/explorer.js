/* The explorer: one patch, its attention, live.
 *
 * One classic script without dependencies, so that a page opened from disk can use it (modules, fetch and workers fail
 * there). `ProxyCLIPExplorer.render({model, el})` draws an explorer into an element; `model` holds scenes as
 * proxyclip/explorer/data.py writes them. The arithmetic is that of the package: similarities of a window, a threshold,
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

  /** (channels, windows, tokens) -> one (tokens, channels) matrix for each window, rows of unit length. */
  function unitRows(values, [channels, windows, tokens]) {
    return Array.from({ length: windows }, (_, window) => {
      const rows = new Float32Array(tokens * channels);
      for (let token = 0; token < tokens; token++) {
        let square = 0;
        for (let channel = 0; channel < channels; channel++) {
          const value = values[(channel * windows + window) * tokens + token];
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
      height, width, count: height * width, cache: new Array(packed.means.length),
    };
    if (packed.features) {
      source.rows = unitRows(await numbers(packed.features), packed.features.shape);
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
    const matrix = source.rows ? products(source.rows[window], count, source.channels) : stored(source, window);
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

  const OF_CLIP = ['qk', 'qq', 'kk'];

  /** The source that a state reads: q-k, q-q and k-k are CLIP's own similarities. */
  function sourceOf(scene, state) {
    const key = OF_CLIP.includes(state.rule) ? state.rule : state.vfm;
    return scene.sources.find((source) => source.key === key) || scene.sources[0];
  }

  /** Scale and threshold of a rule in a window; `alone` for identity attention, where a patch keeps only itself. */
  function scaleAndThreshold(source, window, state) {
    if (state.rule === 'identity') return { alone: true, scale: 1, threshold: Infinity };
    if (state.rule === 'hard') return { alone: false, scale: 1, threshold: state.alpha };
    return { alone: false, scale: state.gamma, threshold: state.beta * source.means[window] };
  }

  /** One row of the method: similarities, what the mask keeps, attention weights. */
  function attentionRow(source, window, index, { alone, scale, threshold }) {
    const { count } = source;
    const cosines = similarity(source, window).subarray(index * count, (index + 1) * count);
    const kept = new Uint8Array(count), weights = new Float32Array(count);
    let maximum = -Infinity;
    for (let j = 0; j < count; j++) maximum = Math.max(maximum, cosines[j]);
    const cut = Math.min(maximum, threshold);
    let total = 0, survivors = 0;
    for (let j = 0; j < count; j++) {
      if (alone ? j !== index : cosines[j] < cut) continue;
      kept[j] = 1;
      survivors++;
      total += weights[j] = Math.exp(scale * (cosines[j] - maximum));
    }
    for (let j = 0; j < count; j++) weights[j] /= total;
    return { cosines, kept, weights, survivors };
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
    low = Math.max(-1, Math.min(0.98, low));
    const counts = new Float64Array(bins);
    for (const value of matrix) counts[Math.max(0, Math.min(bins - 1, Math.floor(((value - low) / (1 - low)) * bins)))]++;
    return { counts, low, high: 1 };
  }

  // ----------------------------------------------------------------------------------------------------- segmentation

  /** Logits of one window, (tokens, queries): masked attention over the values, ln_post, projection, cosines. */
  function* windowLogits(scene, source, window, rule) {
    const { readout } = scene;
    const { rank, queries, epsilon, width: valueWidth, offsetSquare, offsetWords } = readout;
    const [clipHeight, clipWidth] = readout.grid;
    const { load, word, gram, shift } = readout.windows[window];
    const { count, width } = source;
    const rows = interpolation(clipHeight, source.height), columns = interpolation(clipWidth, source.width);
    const same = clipHeight === source.height && clipWidth === source.width;
    const patches = clipHeight * clipWidth;
    const matrix = rule.alone ? null : similarity(source, window);
    const lines = new Float64Array(source.height * clipWidth), share = new Float64Array(patches);
    const mixed = new Float64Array(rank), logits = new Float32Array(count * queries);
    for (let i = 0; i < count; i++) {
      if ((i & 63) === 63) yield;
      // the shares with which CLIP's patches enter: attention weights, taken through the bilinear resizing
      lines.fill(0);
      share.fill(0);
      let total = 0;
      const enter = (j, weight) => {
        total += weight;
        if (same) { share[j] = weight; return; }
        const line = Math.floor(j / width) * clipWidth, column = j % width, part = weight * columns.fraction[column];
        lines[line + columns.low[column]] += weight - part;
        lines[line + columns.high[column]] += part;
      };
      if (rule.alone) enter(i, 1);
      else {
        const start = i * count, end = start + count;
        let maximum = -Infinity;
        for (let at = start; at < end; at++) if (matrix[at] > maximum) maximum = matrix[at];
        const cut = Math.fround(Math.min(maximum, rule.threshold)), { scale } = rule;
        for (let at = start; at < end; at++)
          if (matrix[at] >= cut) enter(at - start, Math.exp(scale * (matrix[at] - maximum)));
      }
      if (!same)
        for (let row = 0; row < source.height; row++) {
          const low = rows.low[row] * clipWidth, high = rows.high[row] * clipWidth, part = rows.fraction[row];
          for (let column = 0; column < clipWidth; column++) {
            const weight = lines[row * clipWidth + column];
            if (!weight) continue;
            share[low + column] += weight * (1 - part);
            share[high + column] += weight * part;
          }
        }
      // ln_post is affine but for its division by the standard deviation, and the embedding is normalised in the end:
      // centred values, projected beforehand, leave a variance and a length to each patch, quadratic forms in `mixed`
      mixed.fill(0);
      for (let patch = 0; patch < patches; patch++) {
        const weight = share[patch] / total;
        if (!weight) continue;
        for (let r = 0, at = patch * rank; r < rank; r++) mixed[r] += weight * load[at + r];
      }
      let square = 0, length = 0, along = 0;
      for (let r = 0; r < rank; r++) {
        square += mixed[r] * mixed[r];
        along += mixed[r] * shift[r];
        let sum = 0;
        for (let s = 0, at = r * rank; s < r; s++) sum += gram[at + s] * mixed[s];
        length += mixed[r] * (2 * sum + gram[r * rank + r] * mixed[r]);
      }
      const deviation = Math.sqrt(square / valueWidth + epsilon);
      const norm = Math.sqrt(Math.max(1e-24, length + 2 * deviation * along + deviation * deviation * offsetSquare));
      const out = logits.subarray(i * queries, (i + 1) * queries);
      for (let q = 0; q < queries; q++) out[q] = (deviation * offsetWords[q]) / norm;
      for (let r = 0; r < rank; r++) {
        const weight = mixed[r] / norm;
        for (let q = 0, at = r * queries; q < queries; q++) out[q] += weight * word[at + q];
      }
    }
    return logits;
  }

  /** Labels of the whole image: logits of all windows, averaged where they overlap, resized, compared. Yields often, so
   *  that a page can stay responsive. */
  function* segmentation(scene, state) {
    const source = sourceOf(scene, state), { lay, size } = scene;
    const queries = scene.readout.queries, { vertical, horizontal } = scene.axes[scene.sources.indexOf(source)];
    const logits = [];
    for (let window = 0; window < lay.tops.length * lay.lefts.length; window++)
      logits.push(yield* windowLogits(scene, source, window, scaleAndThreshold(source, window, state)));
    const [height, width] = size, across = lay.lefts.length * source.width;
    const labels = new Int16Array(height * width);
    const line = new Float32Array(across * queries), pixel = new Float32Array(queries);
    for (let y = 0; y < height; y++) {
      if ((y & 15) === 15) yield;
      line.fill(0);
      for (let k = vertical.start[y]; k < vertical.start[y + 1]; k++) {
        const top = Math.floor(vertical.index[k] / source.height), row = vertical.index[k] % source.height;
        const weight = vertical.weight[k];
        for (let left = 0; left < lay.lefts.length; left++) {
          const from = logits[top * lay.lefts.length + left];
          const offset = row * source.width * queries, to = left * source.width * queries;
          for (let at = 0, end = source.width * queries; at < end; at++) line[to + at] += weight * from[offset + at];
        }
      }
      for (let x = 0; x < width; x++) {
        pixel.fill(0);
        for (let k = horizontal.start[x]; k < horizontal.start[x + 1]; k++) {
          const weight = horizontal.weight[k], from = horizontal.index[k] * queries;
          for (let q = 0; q < queries; q++) pixel[q] += weight * line[from + q];
        }
        let best = 0;
        for (let q = 1; q < queries; q++) if (pixel[q] > pixel[best]) best = q;
        let label = scene.classOfQuery[best];
        if (scene.probThreshold !== null) {
          let total = 0;
          for (let q = 0; q < queries; q++) total += Math.exp(40 * (pixel[q] - pixel[best]));
          if (1 / total < scene.probThreshold) label = 0;
        }
        labels[y * width + x] = label;
      }
    }
    return labels;
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
  global.ProxyCLIPExplorer = core;
  if (typeof module !== 'undefined') module.exports = core;
})(typeof globalThis !== 'undefined' ? globalThis : this);
