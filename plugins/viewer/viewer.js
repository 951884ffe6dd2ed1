// Three planes of one case in NiiVue: one image below, masks over it. Images come from this site alone
// (`<case>/<image>.nii.gz` beside this page); which of them exist is asked first (`<case>/images`).
"use strict";
(async function () {
  const $ = (id) => document.getElementById(id);
  const name = location.pathname.split("/").pop().replace(/\.html$/, "");
  const cohort = location.pathname.split("/").at(-2);
  const BASES = { FLAIR: "1", T1w: "2", "T1w-as-scanned": "3" };
  const MASKS = { lesions: { key: "l", colour: [255, 122, 47] }, brain: { key: "b", colour: [53, 196, 240] } };
  $("name").textContent = document.title = name;
  $("back").href = `../../quality/${cohort}/${name}.html`;

  function control(kind, image, key, checked, place, colour) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    Object.assign(box, { type: kind, name: kind === "radio" ? "base" : image, checked, value: image });
    label.append(box);
    if (colour) {
      const swatch = document.createElement("span");
      swatch.className = "swatch";
      swatch.style.background = `rgb(${colour})`;
      label.append(swatch);
    }
    const shown = document.createElement("kbd");
    shown.textContent = key;
    label.append(image.replaceAll("-", " "), " ", shown);
    place.append(label, " ");
    return box;
  }

  try {
    const answer = await fetch(`${name}/images`, { cache: "no-store" });
    if (!answer.ok) throw new Error("The images of this case are not there.");
    const there = (await answer.json()).images;
    const view = new niivue.Niivue({
      backColor: [0, 0, 0, 1], isRadiologicalConvention: true, dragAndDropEnabled: false, show3Dcrosshair: false,
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER, crosshairColor: [0.49, 0.78, 0.91, 0.6], crosshairWidth: 0.4, crosshairGap: 6,
      sagittalNoseLeft: true, isColorbar: false, isOrientCube: false, fontMinPx: 15, loadingText: "Loading...", logLevel: "warn",
    });
    view.onLocationChange = (at) => {
      $("where").textContent = `${[...at.mm].slice(0, 3).map((value) => value.toFixed(1)).join(", ")} mm  ·  ${at.values[0].value.toFixed(0)}`;
    };
    await view.attachToCanvas($("canvas"));
    for (const [mask, { colour: [r, g, b] }] of Object.entries(MASKS))
      view.addColormap(mask, { R: [0, r], G: [0, g], B: [0, b], A: [0, 255], I: [0, 255] });

    const bases = Object.keys(BASES).filter((image) => there.includes(image));
    const masks = Object.keys(MASKS).filter((image) => there.includes(image));
    const boxes = {};
    for (const image of bases) boxes[image] = control("radio", image, BASES[image], image === bases[0], $("bases"));
    for (const image of masks) boxes[image] = control("checkbox", image, MASKS[image].key, image === "lesions", $("overlays"), MASKS[image].colour);

    const show = async () => {
      const base = bases.find((image) => boxes[image].checked);
      const address = (image) => `${name}/${image}.nii.gz`;
      const over = masks.map((image) => ({
        url: address(image), colormap: image, cal_min: 0, cal_max: 1, opacity: boxes[image].checked ? Number($("opacity").value) : 0,
      }));
      await view.loadVolumes([{ url: address(base), colormap: "gray" }, ...over]);
      view.setSliceType(view.sliceTypeMultiplanar);
      document.body.dataset.ready = base;
    };
    const mix = () => masks.forEach((image, place) => view.setOpacity(place + 1, boxes[image].checked ? Number($("opacity").value) : 0));
    for (const image of bases) boxes[image].addEventListener("change", show);
    for (const image of masks) boxes[image].addEventListener("change", mix);
    $("opacity").addEventListener("input", mix);
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "c" || event.key === "Escape") $("back").click();
      const image = [...bases, ...masks].find((one) => (BASES[one] || MASKS[one].key) === event.key);
      if (image) boxes[image].click();
    });
    await show();
  } catch (error) {
    $("problem").textContent = `${error.message || error} This view needs WebGL 2; the report works without it.`;
  }
})();
