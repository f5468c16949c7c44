// Lowest edge of the shortest run of neighbouring blocks whose text has the pattern; null where there is none.
pattern => {
  const blocks = [...document.querySelectorAll('article :is(p, li, td, caption, figcaption)')]
    .filter(block => block.getClientRects().length && !block.querySelector('p, li, td'));
  const text = block => block.textContent.replace(/\s+/g, ' ').trim();
  for (let count = 1; count <= 2; count += 1) {
    for (let first = 0; first + count <= blocks.length; first += 1) {
      const run = blocks.slice(first, first + count);
      if (new RegExp(pattern).test(run.map(text).join(' '))) {
        return window.scrollY + run.at(-1).getBoundingClientRect().bottom;
      }
    }
  }
  return null;
}
