"use strict";
for (const data of document.querySelectorAll("[data-part=data]")) {
  const content = JSON.parse(data.textContent);
  const section = data.parentElement;
  const part = (name) => section.querySelector(`[data-part=${name}]`);
  const percent = (value) => (value === null ? "–" : (100 * value).toFixed(2));
  const signed = (value) => (value < 0 ? "" : "+") + value.toFixed(2);

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function table(name, headings, rows) {
    const head = make("tr", {}, ...headings.map((text) => make("th", { scope: "col" }, text)));
    return make("table", { className: name }, make("thead", {}, head), make("tbody", {}, ...rows));
  }

  function bar(value, name) {
    const drawn = make("i", { className: name });
    drawn.style.width = `${100 * (value ?? 0)}%`;
    return drawn;
  }

  function drawClasses(setting, baseline) {
    const rows = content.classes.map((name, place) => {
      const own = setting.iou[place];
      const cells = [make("th", { scope: "row" }, name)];
      if (!baseline) {
        cells.push(make("td", { className: "bar" }, bar(own, "own")), make("td", {}, percent(own)));
        return make("tr", {}, ...cells);
      }
      const [mean, low, high] = setting.difference[place] ?? [null, null, null];
      const sign = mean === null || Math.abs(mean) < 5e-5 ? "" : mean < 0 ? "bad" : "good";
      const base = baseline.iou[place];
      cells.push(
        make("td", { className: "bar" }, bar(base, "base"), bar(own, "own")),
        make("td", {}, percent(base)),
        make("td", {}, percent(own)),
        make("td", { className: sign }, mean === null ? "–" : signed(100 * mean)),
        make("td", {}, low === null ? "–" : `[${signed(100 * low)}, ${signed(100 * high)}]`),
      );
      return make("tr", {}, ...cells);
    });
    const further = baseline ? ["baseline %", "setting %", "difference", "95 % interval"] : ["%"];
    const key = make("p", { className: "hint" });
    if (baseline) {
      key.append("baseline", make("i", { className: "key base" }), baseline.label, make("br"));
      key.append("setting", make("i", { className: "key" }), setting.label);
    }
    part("classes").replaceChildren(key, table("bars", ["class", "IoU", ...further], rows));
  }

  function cell(value, labelled, said, compared, largest) {
    const same = labelled === said;
    const drawn = make("td", { className: same ? "same" : "" });
    if (value === null) return drawn;
    const text = (digits) => (compared && value >= 0 ? "+" : "") + value.toFixed(digits);
    drawn.title = `${content.classes[labelled]} predicted as ${content.classes[said]}: ${text(2)}`;
    if (Math.abs(value) < 0.05) return drawn;
    const color = value > 0 === same ? "--good" : "--bad"; // more hits are good, more confusions are not
    const strength = Math.round((55 * Math.abs(value)) / largest); // beyond 55 % text would be hard to read
    drawn.style.background = `color-mix(in srgb, var(${color}) ${strength}%, var(--back))`;
    drawn.append(text(1));
    return drawn;
  }

  function drawMatrix(matrix, compared) {
    const largest = compared ? Math.max(0.01, ...matrix.flat().map((value) => Math.abs(value ?? 0))) : 100;
    const rows = matrix.map((values, labelled) =>
      make("tr", {}, make("th", { scope: "row" }, content.classes[labelled]),
        ...values.map((value, said) => cell(value, labelled, said, compared, largest))));
    const drawn = table("matrix", ["labelled \\ predicted", ...content.classes], rows);
    const region = make("div", { className: "scroll", tabIndex: 0, role: "region" }, drawn);
    region.setAttribute("aria-label", "Confusion matrix");
    return region;
  }

  function drawConfusion(setting, baseline) {
    const place = part("confusion");
    if (!setting.largest?.length) {
      const unknown = baseline ? "No seed has confusions of this setting and of the baseline." : "No run has confusions.";
      const none = baseline ? "No confusion differs from the baseline's." : "No pixel is confused.";
      place.replaceChildren(make("p", { className: "hint" }, setting.largest ? none : unknown));
      return;
    }
    const rows = setting.largest.map(([labelled, said, value]) => {
      const text = `${content.classes[labelled]} predicted as ${content.classes[said]}`;
      const sign = baseline ? (value < 0 ? "good" : "bad") : "";
      const number = make("td", { className: sign }, baseline ? signed(value) : value.toFixed(2));
      return make("tr", {}, make("th", { scope: "row" }, text), number);
    });
    const hint = baseline
      ? "Shares of a class's labelled pixels: difference to the baseline in points, over the seeds both have. " +
        "Blue is better than the baseline, orange worse."
      : "Shares of a class's labelled pixels in percent, means over seeds. Blue is right, orange wrong.";
    const headings = baseline ? ["largest changes", "points"] : ["largest confusions", "%"];
    const beside = make("div", { className: "beside" }, table("largest", headings, rows));
    if (setting.confusion) beside.append(drawMatrix(setting.confusion, Boolean(baseline)));
    place.replaceChildren(make("p", { className: "hint" }, hint), beside);
  }

  function drawSetting() {
    const setting = content.settings[part("setting")?.value ?? 0];
    const compared = setting.baseline === null ? null : content.settings[setting.baseline];
    drawClasses(setting, compared);
    drawConfusion(setting, compared);
  }

  function showLines() {
    for (const box of section.querySelectorAll("[data-line]")) {
      for (const curve of section.querySelectorAll(`.curve[data-setting="${box.dataset.line}"]`)) {
        curve.style.display = box.checked ? "" : "none";
      }
    }
  }

  function half(side, place) {
    const method = content.pictures.methods[part(side).value];
    const layers = method ? method.images[place] : { prediction: content.pictures.images[place].truth };
    const order = ["prediction", "errors", "negatives"].filter((layer) => layers[layer]); // from below to above
    const images = order.map((layer) => make("img", { className: layer, src: layers[layer], alt: "" }));
    return make("div", { className: `half ${side}` }, ...images);
  }

  function drawPictures() {
    const names = Object.fromEntries(["left", "right"].map((side) => [side, part(side).selectedOptions[0].text]));
    const tag = (side) => make("div", { className: `tag of-${side}` }, names[side]);
    part("gallery").replaceChildren(...content.pictures.images.map((image, place) => {
      const stack = make("div", { className: "stack" },
        make("img", { src: image.image, alt: `${image.name}: left ${names.left}, right ${names.right}` }),
        half("left", place), half("right", place),
        make("img", { className: "truth", src: image.truth, alt: "" }), make("div", { className: "handle" }),
        tag("left"), tag("right"));
      const follow = (event) => {
        if (event.type === "pointerdown" || event.buttons) {
          const box = stack.getBoundingClientRect();
          part("split").value = (100 * (event.clientX - box.left)) / box.width;
          adjust();
        }
      };
      stack.addEventListener("pointerdown", follow);
      stack.addEventListener("pointermove", follow);
      return make("figure", {}, stack, make("figcaption", {}, image.name));
    }));
  }

  function adjust() {
    const gallery = part("gallery");
    gallery.style.setProperty("--split", `${part("split").value}%`);
    gallery.style.setProperty("--opacity", part("opacity").value / 100);
    for (const box of section.querySelectorAll("[data-show]")) {
      gallery.classList.toggle(`show-${box.dataset.show}`, box.checked);
    }
  }

  if (content.classes.length) {
    part("setting")?.addEventListener("change", drawSetting);
    drawSetting();
  }
  for (const box of section.querySelectorAll("[data-line]")) box.addEventListener("change", showLines);
  part("lines")?.addEventListener("click", () => {
    const boxes = [...section.querySelectorAll("[data-line]")];
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
    showLines();
  });
  if (content.pictures) {
    for (const name of ["left", "right"]) part(name).addEventListener("change", drawPictures);
    for (const name of ["split", "opacity"]) part(name).addEventListener("input", adjust);
    for (const box of section.querySelectorAll("[data-show]")) box.addEventListener("change", adjust);
    drawPictures();
    adjust();
  }
}
