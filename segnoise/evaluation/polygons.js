"use strict";
// The polygons of a report's map, unpacked from what polygonmap.py wrote: outlines to draw, which polygon lies where,
// and the colours and the order of their confidence. All coordinates are pixels of the scene's picture.
function readPolygons(data) {
  const [width, height] = data.size;
  const count = data.id.length;

  // Outlines ---------------------------------------------------------------------------------------------------

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  const xy = Float32Array.from(new Uint16Array(bytes(data.xy)), (v, i) => data.origin[i & 1] + v * data.step);
  const offsets = (lengths) => {
    const sums = new Uint32Array(lengths.length + 1);
    for (let i = 0; i < lengths.length; i++) sums[i + 1] = sums[i] + lengths[i];
    return sums;
  };
  const ring = offsets(new Uint32Array(bytes(data.rings)));
  const part = offsets(new Uint32Array(bytes(data.parts)));

  const box = new Float32Array(4 * count);
  for (let i = 0; i < count; i++) {
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let v = ring[part[i]]; v < ring[part[i + 1]]; v++) {
      x0 = Math.min(x0, xy[2 * v]);
      x1 = Math.max(x1, xy[2 * v]);
      y0 = Math.min(y0, xy[2 * v + 1]);
      y1 = Math.max(y1, xy[2 * v + 1]);
    }
    box.set([x0, y0, x1, y1], 4 * i);
  }

  function trace(path, i) {
    for (let r = part[i]; r < part[i + 1]; r++) {
      for (let v = ring[r]; v < ring[r + 1]; v++) {
        if (v === ring[r]) path.moveTo(xy[2 * v], xy[2 * v + 1]);
        else path.lineTo(xy[2 * v], xy[2 * v + 1]);
      }
      path.closePath();
    }
  }

  const outlines = new Array(count);
  function outline(i) {
    if (!outlines[i]) trace((outlines[i] = new Path2D()), i);
    return outlines[i];
  }

  // Cells of a grid know the polygons whose boxes meet them: clicks and close views look at a few, not at all.
  const CELLS = 64;
  const clampCell = (v, size) => Math.min(Math.max(Math.floor((v / size) * CELLS), 0), CELLS - 1);
  const cells = Array.from({ length: CELLS * CELLS }, () => []);
  for (let i = 0; i < count; i++) {
    const [x0, y0, x1, y1] = box.subarray(4 * i, 4 * i + 4);
    for (let row = clampCell(y0, height); row <= clampCell(y1, height); row++)
      for (let col = clampCell(x0, width); col <= clampCell(x1, width); col++) cells[row * CELLS + col].push(i);
  }

  function inside(i, x, y) {
    let odd = false;
    for (let r = part[i]; r < part[i + 1]; r++) {
      for (let a = ring[r], b = ring[r + 1] - 1; a < ring[r + 1]; b = a++) {
        const [ay, by] = [xy[2 * a + 1], xy[2 * b + 1]];
        if (ay > y !== by > y && x < ((xy[2 * b] - xy[2 * a]) * (y - ay)) / (by - ay) + xy[2 * a]) odd = !odd;
      }
    }
    return odd;
  }

  function at(x, y) {
    let found = -1;
    let smallest = Infinity;
    for (const i of cells[clampCell(y, height) * CELLS + clampCell(x, width)]) {
      const [x0, y0, x1, y1] = box.subarray(4 * i, 4 * i + 4);
      const size = (x1 - x0) * (y1 - y0);
      if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && size < smallest && inside(i, x, y)) [found, smallest] = [i, size];
    }
    return found;
  }

  // The polygons near a box, a few too many.
  function within(x0, y0, x1, y1) {
    const seen = new Set();
    for (let row = clampCell(y0, height); row <= clampCell(y1, height); row++)
      for (let col = clampCell(x0, width); col <= clampCell(x1, width); col++)
        for (const i of cells[row * CELLS + col]) seen.add(i);
    return seen;
  }

  // Confidence as colour ---------------------------------------------------------------------------------------

  const RAMP = ["#d23b2f", "#ea7445", "#f5aa60", "#f5da8a", "#cfe2e4", "#94c0d6", "#5c97c5", "#3a6cab"];
  const PLAIN = "#ffd24d";
  const sure = data.confidence || [];
  const known = sure.filter((c) => c !== null).sort((a, b) => a - b);
  const low = known.length ? Math.floor(known[Math.floor(0.02 * (known.length - 1))] * 20) / 20 : 0;
  const high = known.length ? Math.max(Math.ceil(known[known.length - 1] * 20) / 20, low + 0.05) : 1;
  function classOf(i) {
    const c = sure[i];
    if (c === undefined || c === null) return RAMP.length;
    return Math.min(Math.max(Math.floor(((c - low) / (high - low)) * RAMP.length), 0), RAMP.length - 1);
  }
  const colours = [...RAMP, PLAIN];
  const members = colours.map(() => []);
  for (let i = 0; i < count; i++) members[classOf(i)].push(i);
  const order = Array.from({ length: count }, (_, i) => i)
    .filter((i) => sure[i] !== null && sure[i] !== undefined)
    .sort((a, b) => sure[a] - sure[b]);
  const rank = new Map(order.map((i, k) => [i, k]));

  return { box, outline, at, within, colours, members, classOf, order, rank, ramp: RAMP, low, high, below: known[0] < low };
}
