// Tables and the like. All that comes from the server is text to them: keys are what clients sent.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

export class Table {
  // caption  what it shows
  // columns  [{title, key}]; the first names its row; `key`: it is a key, in plain letters
  constructor(caption, columns) {
    this.columns = columns;
    this.body = element("tbody");
    const titles = columns.map(({title, key}) =>
      element("th", {scope: "col", class: key ? "key" : ""}, title),
    );
    const head = element("thead", {}, element("tr", {}, ...titles));
    this.node = element(
      "div",
      {class: "scroll", tabindex: 0, role: "region", "aria-label": caption},
      element("table", {}, element("caption", {}, caption), head, this.body),
    );
  }

  // rows      texts by row and column
  // swatches  whether the rows are the lines of a chart
  show(rows, swatches = false) {
    if (rows.length === 0) rows = [["none"]];
    while (this.body.rows.length > rows.length) this.body.deleteRow(-1);
    while (this.body.rows.length < rows.length) this.body.insertRow();
    rows.forEach((row, number) =>
      this.showRow(this.body.rows[number], row, swatches ? number : null),
    );
  }

  // Only what has changed is touched, so that a selection and the place in the page stay.
  showRow(row, texts, swatch) {
    while (row.cells.length > texts.length) row.deleteCell(-1);
    texts.forEach((text, number) => {
      const cell = row.cells[number] ?? row.appendChild(this.cell(number, swatch));
      const words = cell.lastChild;
      if (words.data !== text) words.data = text;
    });
  }

  cell(number, swatch) {
    const its = {class: this.columns[number].key ? "key" : ""};
    const cell = number === 0 ? element("th", {scope: "row", ...its}) : element("td", its);
    if (number === 0 && swatch !== null) {
      cell.append(element("span", {class: `swatch series-${swatch}`, "aria-hidden": true}));
    }
    cell.append(document.createTextNode(""));
    return cell;
  }
}

// Shows a text, unless it is there already: who listens, or has it selected, is not disturbed.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Makes `make()` or removes the last until a node has so many children.
function fill(node, wanted, make) {
  while (node.children.length > wanted) node.lastElementChild.remove();
  while (node.children.length < wanted) node.append(make());
  return [...node.children];
}

// Items are {level, text}.
export function showList(list, items) {
  fill(list, items.length, () => element("li")).forEach((node, number) => {
    node.className = items[number].level;
    setText(node, items[number].text);
  });
}

// Entries are [term, figure, remark].
export function showTiles(list, entries) {
  const make = () =>
    element(
      "div",
      {},
      element("dt"),
      element("dd", {class: "figure"}),
      element("dd", {class: "remark"}),
    );
  fill(list, entries.length, make).forEach((tile, number) =>
    entries[number].forEach((text, place) => setText(tile.children[place], text)),
  );
}
