// The table of published numbers: a click on a heading sorts, words and a kind filter. Without this script it is whole.
document.addEventListener('DOMContentLoaded', () => {
  for (const box of document.querySelectorAll('[data-published]')) {
    const [body, controls] = [box.querySelector('tbody'), box.querySelector('.controls')];
    const [words, kind] = controls.querySelectorAll('input, select');
    const rows = [...body.rows];
    controls.hidden = false;
    const filter = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = (kind.value && row.dataset.group !== kind.value) || !wanted.every((word) => text.includes(word));
      }
      controls.querySelector('.count').textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    words.addEventListener('input', filter);
    kind.addEventListener('change', filter);
    filter();
    box.querySelectorAll('thead th').forEach((head, place) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const down = head.getAttribute('aria-sort') !== 'descending';
        box.querySelectorAll('thead th').forEach((other) => other.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const value = (row) => row.cells[place].textContent.trim();
        const compare = (a, b) => (Number.isNaN(parseFloat(value(a))) || Number.isNaN(parseFloat(value(b)))
          ? value(b).localeCompare(value(a)) : parseFloat(value(b)) - parseFloat(value(a)));
        body.append(...[...rows].sort((a, b) => (down ? 1 : -1) * compare(a, b)));
      });
    });
  }
});
