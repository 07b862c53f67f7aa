// What is wrong with how a panel looks, as a list of sentences. Run in the page, with the panel's element, by the browser tests.
(panel) => {
  const wrong = [];
  const box = panel.getBoundingClientRect();
  const words = (element) => JSON.stringify(element.textContent.trim().slice(0, 40));
  for (const figure of panel.querySelectorAll(".js-plotly-plot")) {
    const frame = figure.getBoundingClientRect();
    if (frame.width < 200 || frame.height < 150) wrong.push(`a figure is ${frame.width} by ${frame.height}`);
    if (frame.right > box.right + 1) wrong.push(`a figure ends ${Math.round(frame.right - box.right)} px right of the panel`);
    const texts = [...figure.querySelectorAll(".main-svg text")].filter((text) => {
      const place = text.getBoundingClientRect();
      return place.width > 0 && text.textContent.trim() && getComputedStyle(text).visibility !== "hidden";
    });
    const places = texts.map((text) => text.getBoundingClientRect());
    texts.forEach((text, one) => {
      const here = places[one];
      if (here.left < frame.left - 1 || here.right > frame.right + 1 || here.top < frame.top - 1 || here.bottom > frame.bottom + 1) {
        wrong.push(`${words(text)} leaves its figure`);
      }
      for (let other = one + 1; other < texts.length; other++) {
        const there = places[other];
        const across = Math.min(here.right, there.right) - Math.max(here.left, there.left);
        const down = Math.min(here.bottom, there.bottom) - Math.max(here.top, there.top);
        if (across > 3 && down > 4) wrong.push(`${words(text)} lies on ${words(texts[other])}`);
      }
    });
  }
  for (const part of panel.querySelectorAll("button, .widget-label, .widget-readout, .widget-html-content, table")) {
    const place = part.getBoundingClientRect();
    if (place.width && place.right > box.right + 1) wrong.push(`${words(part)} ends ${Math.round(place.right - box.right)} px right of the panel`);
    if (part.scrollWidth > part.clientWidth + 2 && part.clientWidth && getComputedStyle(part).overflowX === "hidden") {
      wrong.push(`${words(part)} is cut off`);
    }
  }
  return wrong;
}
