// Draws the meshes beside it: one canvas each, one camera for all. Loads nothing.
(() => {
  "use strict";
  const root = document.currentScript.parentElement;
  const scene = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const buttons = [...root.querySelectorAll("button[data-mode]")];
  const selfTest = location.hash === "#selftest";
  // A headless browser that prints its page makes no second animation frame.
  const nextFrame = selfTest ? (run) => setTimeout(run, 0) : (run) => requestAnimationFrame(run);

  // The camera: the shape, scaled to the unit sphere, is turned, then seen from (0, 0, DISTANCE).
  const DISTANCE = 4;
  const camera = {};
  let mode = "shaded";

  const VERTEX = `#version 300 es
    uniform mat3 turn;
    uniform vec3 center;
    uniform float radius, pointSize;
    uniform vec2 focal, pan;
    layout(location = 0) in vec3 position;
    layout(location = 1) in vec3 normal;
    layout(location = 2) in float error;
    out vec3 viewPosition, smoothNormal;
    out float share;
    const float NEAR = 0.2, FAR = 10.0;
    void main() {
      viewPosition = turn * ((position - 0.5 - center) / radius);
      smoothNormal = turn * normal;
      share = error;
      float w = ${DISTANCE.toFixed(1)} - viewPosition.z;
      gl_Position = vec4(focal * viewPosition.xy + pan * w, (w * (FAR + NEAR) - 2.0 * FAR * NEAR) / (FAR - NEAR), w);
      gl_PointSize = pointSize / w;
    }`;

  const FRAGMENT = `#version 300 es
    precision highp float;
    uniform mat3 turn;
    uniform int mode;
    uniform bool points;
    uniform vec3 ramp[16];
    in vec3 viewPosition, smoothNormal;
    in float share;
    out vec4 colour;
    const vec3 CLAY = vec3(0.78, 0.76, 0.72), BEHIND = vec3(0.80, 0.42, 0.36);
    vec3 facing(vec3 n) {
      float size = length(n);
      if (points) return size > 0.5 ? n / size : vec3(0.0, 0.0, 1.0);
      vec3 flatNormal = normalize(cross(dFdx(viewPosition), dFdy(viewPosition)));
      n *= (gl_FrontFacing ? 1.0 : -1.0) / max(size, 1e-6);
      // Averaging normals over a sharp edge rounds it; there the face's own normal is the right one.
      return normalize(mix(flatNormal, n, smoothstep(0.7, 0.95, dot(n, flatNormal))));
    }
    float light(vec3 n, vec3 direction) { return max(dot(n, normalize(direction)), 0.0); }
    void main() {
      vec3 n = facing(smoothNormal);
      vec3 eye = normalize(vec3(0.0, 0.0, ${DISTANCE.toFixed(1)}) - viewPosition);
      if (points && (dot(n, eye) < -0.1 || length(gl_PointCoord - 0.5) > 0.5)) discard;
      bool front = points || gl_FrontFacing;
      vec3 base = front ? CLAY : BEHIND;
      if (mode == 2) {
        float place = share * 15.0;
        int i = int(min(floor(place), 14.0));
        base = mix(ramp[i], ramp[i + 1], place - float(i));
      }
      vec3 key = vec3(-0.5, 0.7, 0.8);
      float shade = 0.22 + 0.68 * light(n, key) + 0.22 * light(n, vec3(0.9, -0.1, 0.5)) + 0.10 * light(n, eye);
      float gloss = 0.14 * pow(light(n, normalize(key) + eye), 40.0);
      vec3 shown = mode == 2 ? base * (0.45 + 0.6 * min(shade, 1.0)) : base * shade + gloss;
      if (mode == 1) shown = 0.5 + 0.5 * (front ? n : -n) * turn;
      colour = vec4(clamp(shown, 0.0, 1.0), 1.0);
    }`;

  function bytes(text) {
    const raw = atob(text);
    return Uint8Array.from({ length: raw.length }, (_, i) => raw.charCodeAt(i));
  }

  // Mean of the normals of the faces around each vertex, weighted by their area.
  function vertexNormals(positions, faces) {
    const normals = new Float32Array(positions.length);
    for (let f = 0; f < faces.length; f += 3) {
      const a = 3 * faces[f], b = 3 * faces[f + 1], c = 3 * faces[f + 2];
      const [ux, uy, uz] = [0, 1, 2].map((k) => positions[b + k] - positions[a + k]);
      const [vx, vy, vz] = [0, 1, 2].map((k) => positions[c + k] - positions[a + k]);
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (const i of [a, b, c]) { normals[i] += x; normals[i + 1] += y; normals[i + 2] += z; }
    }
    for (let i = 0; i < normals.length; i += 3) {
      const size = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      for (let k = 0; k < 3; k++) normals[i + k] /= size;
    }
    return normals;
  }

  function unpack(data) {
    const positions = new Uint16Array(bytes(data.positions).buffer);
    const faces = "faces" in data ? new Uint32Array(bytes(data.faces).buffer) : null;
    const normals = faces ? vertexNormals(positions, faces) : new Int8Array(bytes(data.normals).buffer);
    return { positions, faces, normals, errors: "errors" in data ? bytes(data.errors) : null };
  }

  // Give the shape to the graphics processor; returns null where there is no WebGL 2.
  function load(canvas, shape) {
    const gl = canvas.getContext("webgl2", { antialias: true, preserveDrawingBuffer: selfTest });
    if (!gl) return null;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
    gl.useProgram(program);
    const attribute = (place, table, size, type) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, table, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, type !== gl.FLOAT, 0, 0);
    };
    attribute(0, shape.positions, 3, gl.UNSIGNED_SHORT);
    attribute(1, shape.normals, 3, shape.faces ? gl.FLOAT : gl.BYTE);
    if (shape.errors) attribute(2, shape.errors, 1, gl.UNSIGNED_BYTE);
    if (shape.faces) {
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, shape.faces, gl.STATIC_DRAW);
    }
    gl.enable(gl.DEPTH_TEST);
    const at = (name) => gl.getUniformLocation(program, name);
    gl.uniform3fv(at("center"), scene.center);
    gl.uniform1f(at("radius"), scene.radius);
    gl.uniform1i(at("points"), shape.faces ? 0 : 1);
    const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
    gl.uniform3fv(at("ramp"), scene.ramp.flatMap(channels));
    const places = Object.fromEntries(["turn", "focal", "pan", "pointSize", "mode"].map((name) => [name, at(name)]));
    return { gl, places };
  }

  function draw(view) {
    if (!view.loaded) return;
    const { canvas, shape, loaded: { gl, places } } = view;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * ratio)));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const focal = 0.97 * Math.sqrt(DISTANCE ** 2 - 1) * camera.zoom;
    const side = Math.min(width, height);
    gl.uniformMatrix3fv(places.turn, false, camera.turn);
    gl.uniform2f(places.focal, (focal * side) / width, (focal * side) / height);
    gl.uniform2f(places.pan, camera.x, camera.y);
    gl.uniform1i(places.mode, mode === "normals" ? 1 : mode === "error" && shape.errors ? 2 : 0);
    if (shape.faces) {
      gl.drawElements(gl.TRIANGLES, shape.faces.length, gl.UNSIGNED_INT, 0);
    } else {
      const count = shape.positions.length / 3;
      gl.uniform1f(places.pointSize, Math.max(6, (1.7 * focal * side) / Math.sqrt(count)));
      gl.drawArrays(gl.POINTS, 0, count);
    }
  }

  let asked = false;
  function redraw() {
    if (asked) return;
    asked = true;
    nextFrame(() => { asked = false; views.forEach(draw); });
  }

  // Turn about the picture's own axes. `turn` is a 3x3 matrix, column after column.
  function rotate(yaw, pitch) {
    const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const m = camera.turn;
    for (let i = 0; i < 9; i += 3) {
      const x = cy * m[i] + sy * m[i + 2], z = -sy * m[i] + cy * m[i + 2], y = m[i + 1];
      m[i] = x; m[i + 1] = cp * y - sp * z; m[i + 2] = sp * y + cp * z;
    }
    redraw();
  }

  function zoom(factor) {
    const wanted = Math.min(Math.max(camera.zoom * factor, 0.3), 60);
    camera.x *= wanted / camera.zoom; camera.y *= wanted / camera.zoom;
    camera.zoom = wanted;
    redraw();
  }

  function reset() {
    Object.assign(camera, { turn: new Float32Array([1, 0, 0, 0, 1, 0, 0, 0, 1]), zoom: 1, x: 0, y: 0 });
    rotate(-0.5, 0.35);
  }

  function choose(button) {
    mode = button.dataset.mode;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const scale = root.querySelector(".view3d-scale");
    if (scale) scale.hidden = mode !== "error";
    redraw();
  }

  function listen(canvas) {
    const fingers = new Map();
    const apart = ([a, b]) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (event.isTrusted) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const finger = fingers.get(event.pointerId);
      if (!finger) return;
      const pair = fingers.size === 2 ? [...fingers.values()] : null;
      const before = pair ? apart(pair) : 1;
      const dx = event.clientX - finger.x, dy = event.clientY - finger.y;
      finger.x = event.clientX; finger.y = event.clientY;
      if (pair || event.shiftKey || event.buttons === 2) {
        const share = pair ? 1 : 2;  // each of two fingers moves it half the way
        camera.x += (share * dx) / canvas.clientWidth; camera.y -= (share * dy) / canvas.clientHeight;
        zoom(pair ? apart(pair) / before : 1);
      } else {
        rotate((4 * dx) / canvas.clientWidth, (4 * dy) / canvas.clientHeight);
      }
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => fingers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      zoom(Math.exp(-0.0015 * Math.max(-400, Math.min(400, event.deltaY * lines))));
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("keydown", (event) => {
      const actions = {
        ArrowLeft: () => rotate(-0.15, 0), ArrowRight: () => rotate(0.15, 0), ArrowUp: () => rotate(0, -0.15),
        ArrowDown: () => rotate(0, 0.15), "+": () => zoom(1.2), "-": () => zoom(1 / 1.2), Home: reset,
      };
      if (!Object.hasOwn(actions, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      actions[event.key]();
    });
  }

  const views = [...root.querySelectorAll("canvas")].map((canvas, i) => {
    const shape = unpack(scene.views[i]);
    // Pictures that are to be compared must not follow the layout, which a scroll bar changes at any moment.
    if (selfTest) canvas.style.cssText = "width: 400px; min-width: 400px; max-width: none";
    const view = { canvas, shape, loaded: load(canvas, shape) };
    canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); view.loaded = null; });
    canvas.addEventListener("webglcontextrestored", () => { view.loaded = load(canvas, shape); redraw(); });
    listen(canvas);
    new ResizeObserver(redraw).observe(canvas);
    return view;
  });
  root.querySelector(".view3d-missing").hidden = views.every((view) => view.loaded);
  buttons.forEach((button) => button.addEventListener("click", () => choose(button)));
  reset();
  if (!selfTest) return;

  // With #selftest the page uses itself as a visitor would, and leaves what it saw in an attribute.
  const seen = {};
  async function note(name) {
    await new Promise((done) => nextFrame(() => nextFrame(done)));
    seen[name] = views.map(({ loaded: { gl } }) => {
      const pixels = new Uint8Array(4 * gl.drawingBufferWidth * gl.drawingBufferHeight);
      gl.readPixels(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
      const drawn = pixels.reduce((count, value, i) => count + (i % 4 === 3 && value > 0 ? 1 : 0), 0);
      const hash = pixels.reduce((mixed, value) => Math.imul(mixed ^ value, 16777619), 2166136261);
      return { pixels: pixels.length / 4, drawn, hash, failed: gl.getError() };
    });
  }
  const send = (kind, name, fields) => views[0].canvas.dispatchEvent(new kind(name, { cancelable: true, ...fields }));
  const point = (name, id, x, y) => send(PointerEvent, name, { pointerId: id, clientX: x, clientY: y, buttons: 1 });
  (async () => {
    await note("first");
    point("pointerdown", 1, 100, 100); point("pointermove", 1, 180, 140); point("pointerup", 1, 180, 140);
    await note("dragged");
    point("pointermove", 1, 100, 100);
    await note("released");
    send(MouseEvent, "dblclick", {});
    await note("reset");
    send(WheelEvent, "wheel", { deltaY: -300 });
    await note("zoomed");
    send(MouseEvent, "dblclick", {});
    point("pointerdown", 1, 100, 100); point("pointerdown", 2, 180, 100); point("pointermove", 2, 140, 100);
    await note("pinched");
    point("pointerup", 1, 100, 100); point("pointerup", 2, 140, 100);
    send(MouseEvent, "dblclick", {});
    send(KeyboardEvent, "keydown", { key: "ArrowLeft" });
    await note("key");
    send(MouseEvent, "dblclick", {});
    for (const button of [...buttons].reverse()) {
      button.click();
      await note(button.dataset.mode);
    }
    root.dataset.selftest = JSON.stringify(seen);
  })();
})();
