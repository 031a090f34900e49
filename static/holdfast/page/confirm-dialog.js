// Asks before a conversation is deleted.

const dialog = document.getElementById("delete-dialog");

/**
 * @param {string} title the conversation's
 * @returns {Promise<boolean>} whether the person wants it gone
 */
export function confirmDelete(title) {
  document.getElementById("delete-title").textContent = title || "this conversation";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "delete"), { once: true });
  });
}
