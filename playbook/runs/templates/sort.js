document.querySelectorAll("table.sortable").forEach(function (table) {
  var heads = table.tHead ? Array.prototype.slice.call(table.tHead.rows[0].cells) : [];
  heads.forEach(function (head, place) {
    var button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.appendChild(head.firstChild);
    head.appendChild(button);
    button.addEventListener("click", function () {
      var down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      var key = function (row) { var cell = row.cells[place]; return cell.hasAttribute("data-sort") ? cell.getAttribute("data-sort") : cell.textContent.trim(); };
      var rows = Array.prototype.slice.call(table.tBodies[0].rows).filter(function (row) { return !row.classList.contains("total"); });
      rows.sort(function (a, b) {
        var x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        var order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      });
      var last = table.tBodies[0].querySelector("tr.total");
      rows.forEach(function (row) { table.tBodies[0].insertBefore(row, last); });
    });
  });
});
