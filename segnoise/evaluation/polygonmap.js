// The map of a report: the scene's picture on a canvas, and polygons over it. All coordinates are picture pixels;
// the view maps them to the screen by (p - (x, y)) * k.
(() => {
  const root = document.getElementById("field-map");
  const data = JSON.parse(document.getElementById("field-map-data").textContent);
  const picture = document.getElementById("field-map-scene");
  const canvas = root.querySelector("canvas");
  const context = canvas.getContext("2d");
  const panel = root.querySelector(".panel");
  const bar = root.querySelector(".bar");
  const [width, height] = data.size;
  const polygons = readPolygons(data);
  const { box, order, rank } = polygons;

  if (order.length) {
    const legend = root.querySelector(".legend");
    legend.hidden = false;
    const [from, to] = legend.querySelectorAll("span");
    from.textContent = (polygons.below ? "≤ " : "") + polygons.low.toFixed(2);
    to.textContent = polygons.high.toFixed(2);
    const stops = polygons.ramp.map((c, k) => `${c} ${(100 * k) / polygons.ramp.length}% ${(100 * (k + 1)) / polygons.ramp.length}%`);
    legend.querySelector("i").style.setProperty("--ramp", `linear-gradient(90deg, ${stops.join(", ")})`);
  }

  // The view ---------------------------------------------------------------------------------------------------

  const view = { x: 0, y: 0, k: 1 };
  let wide = 0;
  let tall = 0;
  let ratio = 1;
  let selected = -1;
  let showFields = true;
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  const smallest = () => Math.min(wide / width, tall / height);
  const largest = () => Math.max(24, 2 * smallest());

  function place(x, y, k) {
    view.k = Math.min(Math.max(k, smallest()), largest());
    const [w, h] = [wide / view.k, tall / view.k];
    view.x = w >= width ? (width - w) / 2 : Math.min(Math.max(x, 0), width - w);
    view.y = h >= height ? (height - h) / 2 : Math.min(Math.max(y, 0), height - h);
    moved();
  }

  function zoom(factor, sx = wide / 2, sy = tall / 2) {
    const k = Math.min(Math.max(view.k * factor, smallest()), largest());
    place(view.x + sx / view.k - sx / k, view.y + sy / view.k - sy / k, k);
  }

  const pan = (dx, dy) => place(view.x - dx / view.k, view.y - dy / view.k, view.k);
  const whole = () => glide(0, 0, smallest());

  let gliding = 0;
  function glide(x, y, k) {
    cancelAnimationFrame(gliding);
    if (still.matches) return place(x, y, k);
    const [from, begun] = [{ ...view }, performance.now()];
    const [cx, cy] = [from.x + wide / 2 / from.k, from.y + tall / 2 / from.k];
    const [tx, ty] = [x + wide / 2 / k, y + tall / 2 / k];
    const step = (now) => {
      const t = Math.min(Math.max((now - begun) / 280, 0), 1);
      const e = 1 - (1 - t) ** 3;
      const s = from.k * (k / from.k) ** e;
      place(cx + (tx - cx) * e - wide / 2 / s, cy + (ty - cy) * e - tall / 2 / s, s);
      if (t < 1) gliding = requestAnimationFrame(step);
    };
    gliding = requestAnimationFrame(step);
  }

  function resize() {
    const [cx, cy, first] = [view.x + wide / 2 / view.k, view.y + tall / 2 / view.k, wide === 0];
    const full = first || view.k <= smallest() * 1.001;
    [wide, tall, ratio] = [canvas.clientWidth, canvas.clientHeight, Math.min(window.devicePixelRatio || 1, 2)];
    if (!wide || !tall) return;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(tall * ratio);
    const k = full ? smallest() : view.k;
    wholeLayer.valid = closeLayer.valid = false;
    place(cx - wide / 2 / k, cy - tall / 2 / k, k);
  }

  // Drawing ----------------------------------------------------------------------------------------------------

  // Polygons are drawn on layers that move with the view and are drawn anew when the hand rests, or at once where few
  // are in sight. One layer holds the whole scene at the smallest scale, the other the surroundings of a closer view.
  const newLayer = () => ({ canvas: document.createElement("canvas"), x: 0, y: 0, k: 1, valid: false });
  const wholeLayer = newLayer();
  const closeLayer = newLayer();
  const MARGIN = 0.2;
  const FEW = 700;
  let settle = 0;
  let moving = false;
  let pending = 0;

  function moved() {
    moving = true;
    clearTimeout(settle);
    settle = setTimeout(() => {
      moving = false;
      draw();
    }, 120);
    draw();
  }

  function draw() {
    if (!pending) pending = requestAnimationFrame(frame);
  }

  function paint(layer) {
    const [mx, my] = [wide * MARGIN, tall * MARGIN];
    const target = layer.canvas;
    target.width = Math.round((wide + 2 * mx) * ratio);
    target.height = Math.round((tall + 2 * my) * ratio);
    [layer.x, layer.y, layer.k] = [view.x - mx / view.k, view.y - my / view.k, view.k];
    const pen = target.getContext("2d");
    const s = view.k * ratio;
    pen.setTransform(s, 0, 0, s, -layer.x * s, -layer.y * s);
    pen.lineJoin = "round";
    pen.lineWidth = Math.min(Math.max(0.7 + 0.5 * Math.log2(view.k / smallest()), 0.8), 2) / view.k;
    const seen = polygons.within(layer.x, layer.y, layer.x + target.width / s, layer.y + target.height / s);
    polygons.colours.forEach((colour, k) => {
      pen.fillStyle = pen.strokeStyle = colour;
      for (const i of polygons.members[k]) {
        if (!seen.has(i)) continue;
        const path = polygons.outline(i);
        pen.globalAlpha = 0.34;
        pen.fill(path, "evenodd");
        pen.globalAlpha = 0.95;
        pen.stroke(path);
      }
    });
    layer.valid = true;
  }

  function covers(layer) {
    const s = layer.k * ratio;
    return layer.valid && layer.x <= view.x && layer.y <= view.y &&
      layer.x + layer.canvas.width / s >= view.x + wide / view.k &&
      layer.y + layer.canvas.height / s >= view.y + tall / view.k;
  }

  function layerToShow() {
    const closer = view.k > smallest() * 1.001;
    const layer = closer ? closeLayer : wholeLayer;
    if (layer.k === view.k && covers(layer)) return layer;
    const few = closer && polygons.within(view.x, view.y, view.x + wide / view.k, view.y + tall / view.k).size <= FEW;
    if (!moving || few || !(layer.valid || wholeLayer.valid)) paint(layer);
    return covers(layer) || !wholeLayer.valid ? layer : wholeLayer;
  }

  function frame() {
    pending = 0;
    if (!wide || !tall) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, wide, tall);
    context.imageSmoothingEnabled = view.k * ratio < 3;
    if (picture.complete && picture.naturalWidth)
      context.drawImage(picture, -view.x * view.k, -view.y * view.k, width * view.k, height * view.k);
    if (showFields) {
      const layer = layerToShow();
      const s = view.k / layer.k / ratio;
      context.imageSmoothingEnabled = true;
      context.drawImage(
        layer.canvas, (layer.x - view.x) * view.k, (layer.y - view.y) * view.k,
        layer.canvas.width * s, layer.canvas.height * s,
      );
    }
    if (selected >= 0) drawSelected();
    if (canvas.matches(":focus-visible")) drawCross();
    drawBar();
  }

  function drawSelected() {
    const s = view.k * ratio;
    context.setTransform(s, 0, 0, s, -view.x * s, -view.y * s);
    context.lineJoin = "round";
    for (const [colour, line] of [["rgb(0 0 0 / 0.75)", 5], ["#fff", 2.4]]) {
      context.strokeStyle = colour;
      context.lineWidth = line / view.k;
      context.stroke(polygons.outline(selected));
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  function drawCross() {
    for (const [colour, line] of [["rgb(0 0 0 / 0.7)", 4], ["#fff", 1.6]]) {
      context.strokeStyle = colour;
      context.lineWidth = line;
      context.beginPath();
      context.moveTo(wide / 2 - 8, tall / 2);
      context.lineTo(wide / 2 + 8, tall / 2);
      context.moveTo(wide / 2, tall / 2 - 8);
      context.lineTo(wide / 2, tall / 2 + 8);
      context.stroke();
    }
  }

  function drawBar() {
    if (!data.metres) return;
    const room = (120 / view.k) * data.metres;
    const power = 10 ** Math.floor(Math.log10(room));
    const length = [5, 2, 1].find((n) => n * power <= room) * power;
    bar.hidden = false;
    bar.querySelector("span").textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
    bar.querySelector("i").style.width = `${(length / data.metres) * view.k}px`;
  }

  // Selection --------------------------------------------------------------------------------------------------

  const say = (value, digits, unit = "") =>
    value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) + unit;

  function select(i) {
    selected = i;
    panel.replaceChildren();
    const heading = panel.appendChild(document.createElement("h3"));
    if (i < 0) {
      heading.textContent = "No field selected";
      panel.appendChild(document.createElement("p")).textContent = "Click a field to see its attributes.";
      return draw();
    }
    heading.textContent = `Field ${data.id[i]}`;
    const list = panel.appendChild(document.createElement("dl"));
    const add = (name, text, colour) => {
      list.appendChild(document.createElement("dt")).textContent = name;
      const cell = list.appendChild(document.createElement("dd"));
      if (colour) {
        const swatch = cell.appendChild(document.createElement("span"));
        swatch.className = "swatch";
        swatch.style.setProperty("--c", colour);
      }
      cell.append(text);
    };
    const has = (column) => data[column] && data[column][i] !== null;
    if (has("area_ha")) add("Area", say(data.area_ha[i], 2, " ha"));
    if (has("perimeter_m")) add("Perimeter", say(data.perimeter_m[i], 0, " m"));
    if (has("confidence")) {
      add("Confidence", say(data.confidence[i], 3), polygons.colours[polygons.classOf(i)]);
      add("Rank", `${say(rank.get(i) + 1, 0)} of ${say(order.length, 0)}`);
    }
    draw();
  }

  function step(by) {
    if (!order.length) return;
    const now = rank.has(selected) ? rank.get(selected) + by : by > 0 ? 0 : order.length - 1;
    const i = order[(now + order.length) % order.length];
    const [x0, y0, x1, y1] = box.subarray(4 * i, 4 * i + 4);
    const k = Math.min(0.35 * Math.min(wide / (x1 - x0), tall / (y1 - y0)), 6, largest());
    const s = Math.max(k, smallest());
    select(i);
    glide((x0 + x1) / 2 - wide / 2 / s, (y0 + y1) / 2 - tall / 2 / s, s);
  }

  // Hands ------------------------------------------------------------------------------------------------------

  const fingers = new Map();
  let travelled = 0;
  const at = (event) => {
    const edge = canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  };
  const mapAt = ([sx, sy]) => polygons.at(view.x + sx / view.k, view.y + sy / view.k);

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    cancelAnimationFrame(gliding);
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) travelled = 0;
    fingers.set(event.pointerId, at(event));
    canvas.classList.add("held");
  });

  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") canvas.classList.toggle("over", showFields && mapAt(here) >= 0);
      return;
    }
    fingers.set(event.pointerId, here);
    const [dx, dy] = [here[0] - before[0], here[1] - before[1]];
    travelled += Math.hypot(dx, dy);
    if (fingers.size === 1) {
      if (travelled > (event.pointerType === "touch" ? 8 : 3)) pan(dx, dy);
      return;
    }
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const span = (p) => Math.max(Math.hypot(p[0] - other[0], p[1] - other[1]), 1);
    pan(dx / 2, dy / 2);
    zoom(span(here) / span(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  });

  const lift = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (!fingers.size) canvas.classList.remove("held");
    const clicked = event.type === "pointerup" && travelled <= (event.pointerType === "touch" ? 8 : 3);
    if (clicked && !fingers.size) select(showFields ? mapAt(at(event)) : -1);
    if (fingers.size) travelled = Infinity;
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("dblclick", (event) => zoom(2, ...at(event)));

  // A page that is being scrolled goes on scrolling when the map comes under the pointer.
  let scrolled = -Infinity;
  window.addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });
  canvas.addEventListener("wheel", (event) => {
    const passing = performance.now() - scrolled < 200;
    const done = event.deltaY > 0 && view.k <= smallest() * 1.001;
    if (!event.ctrlKey && (passing || done)) return;
    event.preventDefault();
    cancelAnimationFrame(gliding);
    const lines = event.deltaMode === 1 ? 30 : 1;
    zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0018)), ...at(event));
  }, { passive: false });

  const actions = {
    in: () => zoom(1.6),
    out: () => zoom(1 / 1.6),
    all: whole,
    next: () => step(1),
    previous: () => step(-1),
  };
  for (const button of root.querySelectorAll("[data-do]"))
    button.addEventListener("click", actions[button.dataset.do]);
  root.querySelector("input").addEventListener("change", (event) => {
    showFields = event.target.checked;
    if (!showFields) select(-1);
    draw();
  });

  const keys = {
    ArrowLeft: () => pan(wide / 6, 0),
    ArrowRight: () => pan(-wide / 6, 0),
    ArrowUp: () => pan(0, tall / 6),
    ArrowDown: () => pan(0, -tall / 6),
    "+": actions.in,
    "=": actions.in,
    "-": actions.out,
    0: whole,
    n: actions.next,
    p: actions.previous,
    Enter: () => select(mapAt([wide / 2, tall / 2])),
    Escape: () => select(-1),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener("focus", draw);
  canvas.addEventListener("blur", draw);

  new ResizeObserver(resize).observe(canvas);
  picture.decode().then(draw, draw);
})();
